"""Start the harness in its environment; make the environment first where it is missing.

This is on the way of every call, so it imports only what a ready environment needs: `pathlib`
alone would double its time.
"""
# The reason is the paragraph above:
# ruff: noqa: PTH100, PTH110, PTH118, PTH120, PTH123

import hashlib
import os
import sys

OLDEST_PYTHON = (3, 11)
MARKER = ".whole"
_LAYOUT = "1"  # to be raised when an environment is made differently from the same files


def environment_folder(clone: str) -> str:
    """Name the environment that belongs to the clone's lock and to this Python.

    Args:
        clone: absolute path of the repository's root.

    Returns:
        The absolute path of the environment's folder, which need not exist.
    """
    digest = hashlib.sha256()
    for name in ("uv.lock", "pyproject.toml"):
        with open(os.path.join(clone, name), "rb") as file:
            digest.update(file.read() + b"\0")
    python = f"{sys.implementation.cache_tag}{sys.abiflags} {sys.version}"
    digest.update(f"{_LAYOUT} {python} {sys.platform} {os.uname().machine}".encode())
    return os.path.join(clone, ".conformance", "environments", digest.hexdigest()[:16])


def is_whole(environment: str) -> bool:
    """Tell whether the environment was finished and the Python it stands on is still there."""
    return os.path.exists(os.path.join(environment, MARKER)) and os.access(
        os.path.join(environment, "bin", "python"), os.X_OK
    )


def main() -> None:
    """Replace this process by the harness's command, with the same arguments and working directory."""
    if sys.version_info < OLDEST_PYTHON:
        sys.stderr.write(
            f"conformance: expected Python 3.11 or newer; seen: {sys.version.split()[0]} at {sys.executable}"
            "; way out: set CONFORMANCE_PYTHON to a newer one\n"
        )
        raise SystemExit(2)
    clone = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    environment = environment_folder(clone)
    if not is_whole(environment):
        sys.path.insert(0, clone)
        from bootstrap.setup import make_or_exit  # noqa: PLC0415 - a ready environment needs none of it

        make_or_exit(clone, environment)
    python = os.path.join(environment, "bin", "python")
    # CONFORMANCE_PYTHON has done its work; to the harness it would be an unknown setting.
    variables = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("PYTHON") and name != "CONFORMANCE_PYTHON"
    }
    os.execve(python, [python, "-I", "-m", "harness.cli", *sys.argv[1:]], variables)  # noqa: S606 - no shell wanted


if __name__ == "__main__":
    main()
