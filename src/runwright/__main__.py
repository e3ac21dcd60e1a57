"""`python -m runwright` is the command `runwright`."""

from runwright.cli import command

if __name__ == "__main__":
    command()
