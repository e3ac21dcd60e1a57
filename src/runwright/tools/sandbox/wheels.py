"""Runs pip so that nothing of a package can run: only wheels of the index are taken, whoever asks for more.

pip's own `--only-binary` leaves out what is named by a file or an address, as the metadata of a wheel may do, and would
build it. Handed to the Python that packages are for. The first argument is the folder with pip, the others are pip's.
"""

from __future__ import annotations

import importlib
import os
import sys
import tempfile
from typing import Any


def bind() -> None:
    """Have pip refuse what is no wheel of the index before it is fetched, and to build anything at all."""
    failure = importlib.import_module("pip._internal.exceptions").InstallationError
    prepare: Any = None

    def prepared(own: object, wanted: Any, *rest: object, **options: object) -> object:  # noqa: ANN401 - pip's
        if wanted.is_direct or not wanted.link.is_wheel:
            raise failure(f"{wanted} is no wheel of the index, and nothing else is taken")
        return prepare(own, wanted, *rest, **options)

    def refuse(own: Any, *_: object, **__: object) -> None:  # noqa: ANN401 - pip's
        raise failure(f"{own.req} is no wheel, and to build a package is to run its code")

    preparer = importlib.import_module("pip._internal.operations.prepare").RequirementPreparer
    prepare = put(preparer, "prepare_linked_requirement", prepared)
    source = importlib.import_module("pip._internal.distributions.sdist").SourceDistribution
    put(source, "prepare_distribution_metadata", refuse)


def put(owner: Any, name: str, function: object) -> Any:  # noqa: ANN401 - of pip
    """Put a function in the place of one of pip's, which is given back. Raises AttributeError where there is none."""
    own = getattr(owner, name)
    setattr(owner, name, function)
    return own


def main() -> None:
    """Do what pip's own command does, within these bounds."""
    folder = sys.argv.pop(1)
    # What it fetches goes with the empty folder that it is started in, also when it is killed.
    tempfile.tempdir = os.getcwd()
    sys.path.insert(0, folder)
    importlib.import_module("pip")
    # The packages beside pip are not for what it installs.
    sys.path.remove(folder)
    bind()
    sys.exit(importlib.import_module("pip._internal.cli.main").main())


if __name__ == "__main__":
    main()
