"""Runwright: an agent server whose recording is the runtime."""
