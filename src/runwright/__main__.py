"""`python -m runwright` is the command `runwright`."""

from runwright.cli import main

if __name__ == "__main__":
    main()
