"""Start one process of a container that sees all of its host: bound to the kubelet's life, and no more.

What sandbox.py does for `mount-namespace`, this program does where nothing is isolated. Most pods of a lab of
simulated programs start by it, so it imports of the standard library what is written in C alone:
`python -I -S bare.py` takes a third of the time. What to start is read from standard input as marshal writes it (it
may hold secrets, so it is never an argument): `parent`, `status`, `stdin`, `argv`, `environment` and `cwd`, each as in
sandbox.py, and so is what is reported.
"""

import _ctypes
import _signal  # type: ignore[import-not-found]  # part of CPython, without a stub
import marshal
import os
import sys

PR_SET_PDEATHSIG = 1
CANNOT_START = 128  # the exit code container runtimes report when a program cannot be started
TYPE_CHECKING = False

if TYPE_CHECKING:
    from typing import Any


def die_with_kubelet(parent: int) -> None:
    """Have the kernel kill this process when the kubelet ends, and end at once if that is gone already.

    Args:
        parent: process id of the kubelet.
    """
    prctl = _ctypes.dlsym(_ctypes.dlopen(None, 0), "prctl")  # type: ignore[arg-type]  # None is this process itself
    _ctypes.call_cdeclfunction(prctl, (PR_SET_PDEATHSIG, int(_signal.SIGKILL), 0, 0, 0))
    if os.getppid() != parent:
        os._exit(CANNOT_START)


def found(program: str, path: str) -> str | None:
    """Where a program is; None where it is not, or may not be started.

    Args:
        program: name or path.
        path: folders to look for a name in, as in PATH.
    """
    # pathlib and shutil would cost more than all the rest.
    for place in [""] if "/" in program else path.split(":"):
        candidate = os.path.join(place, program)  # noqa: PTH118  # see above
        if os.access(candidate, os.F_OK | os.X_OK) and not os.path.isdir(candidate):  # noqa: PTH112  # see above
            return candidate
    return None


def become(spec: "dict[str, Any]") -> None:
    """Replace this process by the container's program.

    Raises:
        OSError: the program or the working directory is not there, or may not be used.
    """
    os.chdir(spec["cwd"])
    name = spec["argv"][0]
    program = found(name, spec["environment"].get("PATH", os.defpath))
    if program is None:
        raise FileNotFoundError(2, f'exec: "{name}": executable file not found in $PATH')
    for number in (_signal.SIGPIPE, _signal.SIGXFSZ):  # Python ignores them, and ignoring is inherited
        _signal.signal(number, _signal.SIG_DFL)
    os.execve(program, spec["argv"], spec["environment"])  # noqa: S606  # the container names the program


def main() -> None:
    """Read what to start from standard input and become it."""
    spec = marshal.loads(sys.stdin.buffer.read())  # noqa: S302  # the kubelet wrote it
    given = os.open(os.devnull, os.O_RDONLY) if spec["stdin"] is None else spec["stdin"]
    os.dup2(given, 0)
    os.close(given)
    report = spec["status"]
    os.set_inheritable(report, False)
    try:
        die_with_kubelet(spec["parent"])
        os.write(report, b'{"pid": %d}\n' % os.getpid())
        become(spec)
    except OSError as error:
        import json  # noqa: PLC0415  # most start

        text = str(error.strerror or error)
        os.write(report, json.dumps({"error": text}).encode() + b"\n")
    os._exit(CANNOT_START)


if __name__ == "__main__":
    main()
