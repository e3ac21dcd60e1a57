"""The studio: pages that show every run, in the same process and from the same service functions as the API."""

from runwright.studio.site import Studio

__all__ = ["Studio"]
