"""Git repositories, read: where they may be, copies of them, and what stands in one at a commit."""

from runwright.tools.git.repositories import Repositories
from runwright.tools.git.tools import Access, OpenRepository, SayPlaces, reading_tools

__all__ = ["Access", "OpenRepository", "Repositories", "SayPlaces", "reading_tools"]
