from pathlib import Path


def shipped(name: str) -> Path:
    """
    Return the folder *name* (`migrations` or `catalog`) that travels with the program.

    An installed wheel carries it inside the package, a checkout at its top level.

    Raises:
        FileNotFoundError: Neither is there; the installation is incomplete.
    """
    package = Path(__file__).resolve().parent
    for folder in (package / "_shipped" / name, package.parent / name):
        if folder.is_dir():
            return folder
    raise FileNotFoundError(f"The folder {name!r} did not travel with this installation of the broker.")
