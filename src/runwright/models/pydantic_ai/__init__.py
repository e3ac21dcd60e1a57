"""Models through the classes of Pydantic AI: loaded where an extra of theirs is used."""
