"""HTTP: the native API, the OpenAI face, and what operators ask."""

from runwright.server.app import create_server, serve

__all__ = ["create_server", "serve"]
