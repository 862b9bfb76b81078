"""Start one process of a container: bound to the kubelet's life, and with its volumes mounted.

This file is a program of its own and imports only the standard library, so that
`python -I -S sandbox.py` starts in milliseconds. What to start is read from
standard input as JSON (it may hold secrets, so it is never an argument):

    parent       process id of the kubelet: the process dies when that one does
    status       file descriptor that takes one JSON object per line: {"pid": n}, {"error": text}
    stdin        file descriptor that becomes the program's standard input, or null for an empty one
    argv         program and arguments; the program is looked up in PATH
    environment  of the program; not taken from this process's own, to which Python adds LC_CTYPE
    cwd          working directory
    root         empty folder on which the new root is built
    hostname     the name the process sees as its host's
    mounts       [{"source", "target", "read_only"}]
    enter        process id of a container to join instead of building a new root, or null

Where nothing is isolated, bare.py takes its place.

In a mount namespace the process gets a new root, held in memory: what the host has at its
top level is bound there, and a folder of the host that has to hold a mount point which the
host lacks (/etc for /etc/teleport) is built anew with the host's other entries beside it.
Nothing is written to the host. A process namespace goes with it, so that no descendant
can outlive the container. An ordinary user gets a user namespace too (see
user_namespaces(7), pid_namespaces(7)).
"""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import signal
import socket
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

MS_RDONLY = 1
MS_REMOUNT = 32
MS_BIND = 4096
MS_REC = 16384
MS_UNBINDABLE = 1 << 17
MS_PRIVATE = 1 << 18
MS_RELATIME = 1 << 21
CLONE_NEWNS = 0x00020000
CLONE_NEWUTS = 0x04000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
PR_SET_PDEATHSIG = 1
KEPT_FLAGS = os.ST_NOSUID | os.ST_NODEV | os.ST_NOEXEC | os.ST_NOATIME | os.ST_NODIRATIME
CANNOT_START = 128  # the exit code container runtimes report when a program cannot be started
HOST = ".host"  # where the host's own root stays visible in the new one

NOT_ALLOWED = (
    "expected mount namespaces to be allowed, seen: {seen}; run as root, or allow them to ordinary users "
    "(sysctl kernel.unprivileged_userns_clone=1, sysctl kernel.apparmor_restrict_unprivileged_userns=0)"
)

libc = ctypes.CDLL(None, use_errno=True)


class NotAllowedError(Exception):
    """The kernel refuses a namespace or a mount."""


def system_call(name: str, *arguments: int | bytes | None) -> None:
    """Call a function of the C library that returns 0 on success.

    Args:
        name: of the function: mount, unshare, setns, prctl.
        *arguments: integers are passed as unsigned long, None as NULL.

    Raises:
        OSError: with the errno of the call.
    """
    values = [ctypes.c_ulong(a) if isinstance(a, int) else ctypes.c_char_p(a) for a in arguments]
    if getattr(libc, name)(*values) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")


def mount(source: str, target: str, kind: str | None, flags: int, data: str | None = None) -> None:
    """Mount something; the arguments are those of the system call.

    Raises:
        OSError: with the target in its text.
    """
    try:
        system_call(
            "mount",
            os.fsencode(source),
            os.fsencode(target),
            os.fsencode(kind) if kind else None,
            flags,
            os.fsencode(data) if data else None,
        )
    except OSError as error:
        raise OSError(error.errno, f"mount {target}: {os.strerror(error.errno or 0)}") from error


def leave_namespaces() -> None:
    """Give this process mount, host-name and process namespaces of its own.

    Raises:
        NotAllowedError: neither as this user nor within a user namespace.
    """
    wanted = CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWPID
    user, group = os.getuid(), os.getgid()
    try:
        try:
            system_call("unshare", wanted)
        except PermissionError:
            system_call("unshare", wanted | CLONE_NEWUSER)
            Path("/proc/self/setgroups").write_text("deny")
            Path("/proc/self/uid_map").write_text(f"0 {user} 1")
            Path("/proc/self/gid_map").write_text(f"0 {group} 1")
        mount("none", "/", None, MS_REC | MS_PRIVATE)
    except OSError as error:
        raise NotAllowedError(error.strerror) from error


def die_with_parent() -> None:
    """Have the kernel kill this process when the one that started it ends."""
    system_call("prctl", PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)


def die_with_kubelet(parent: int) -> None:
    """The same, and end at once if the kubelet is gone already."""
    die_with_parent()
    if os.getppid() != parent:
        os._exit(CANNOT_START)


def mirror(host: Path, new: Path) -> None:
    """Let an entry of the host's file system appear in the new root."""
    if host.is_symlink():
        new.symlink_to(host.readlink())
        return
    if host.is_dir():
        new.mkdir()
        try:
            mount(str(host), str(new), None, MS_BIND | MS_REC)
        except OSError:
            new.rmdir()
        else:
            return
    new.symlink_to(f"/{HOST}{host}")


def populate(host: Path, new: Path, below: set[tuple[str, ...]]) -> None:
    """Fill a folder of the new root with the host's entries, leaving room for mount points.

    Args:
        host: folder on the host; it may be missing.
        new: the folder that stands for it, which exists and is empty.
        below: paths relative to it that the host lacks and mounts need.
    """
    built = {path[0] for path in below}
    try:
        entries = list(host.iterdir())
    except OSError:  # missing, or closed to this user: then to the container too
        entries = []
    for entry in entries:
        if entry.name not in built:
            with suppress(PermissionError):
                mirror(entry, new / entry.name)
    for name in built:
        (new / name).mkdir()
        if (host / name).is_dir():
            shutil.copymode(host / name, new / name)
        populate(host / name, new / name, {path[1:] for path in below if path[0] == name and path[1:]})


def to_build(targets: list[Path]) -> set[tuple[str, ...]]:
    """Parts of the folders that must be built anew to hold mount points that the host lacks."""
    return {target.parent.parts[1:] for target in targets if not target.exists()} - {()}


def build_root(root: Path, mounts: list[dict[str, Any]]) -> None:
    """Build the container's view of the file system under a folder.

    Args:
        root: an empty folder.
        mounts: source, target and read_only each; sources exist.

    Raises:
        OSError: a mount was refused, or a mount point cannot be made.
    """
    mount("tmpfs", str(root), "tmpfs", 0, "mode=755")
    mount("none", str(root), None, MS_UNBINDABLE)  # or every later bind would contain this root again
    targets = [Path(os.path.realpath(each["target"])) for each in mounts]
    (root / HOST).mkdir()
    mount("/", str(root / HOST), None, MS_BIND | MS_REC)
    populate(Path("/"), root, to_build(targets))
    bound = []
    for each, target in sorted(zip(mounts, targets, strict=True), key=lambda pair: len(pair[1].parts)):
        source, place = Path(each["source"]), root / target.relative_to("/")
        if place.is_symlink():  # it leads to the host's file
            place.unlink()
        if source.is_dir():
            place.mkdir(exist_ok=True, parents=True)
        elif not place.exists():
            place.touch()
        mount(str(source), str(place), None, MS_BIND | MS_REC)
        bound.append((place, each["read_only"]))
    for place in (place for place, read_only in bound if read_only):
        # A user namespace may not drop the flags of the mount it copied: they are named again.
        held = os.statvfs(place).f_flag
        flags = (held & KEPT_FLAGS) | (MS_RELATIME if held & os.ST_RELATIME else 0)
        mount("none", str(place), None, MS_BIND | MS_REMOUNT | MS_RDONLY | flags)


def enter(pid: int) -> None:
    """Join the namespaces and the root of a running container.

    Raises:
        OSError: it has ended, or the kernel refuses.
    """
    folder = Path("/proc", str(pid))
    root = os.open(folder / "root", os.O_RDONLY | os.O_DIRECTORY)
    # Our own user namespace cannot be entered again: only a different one is.
    own = (folder / "ns/user").readlink() == Path("/proc/self/ns/user").readlink()
    names = ["uts", "pid", "mnt"] if own else ["user", "uts", "pid", "mnt"]
    handles = [os.open(folder / "ns" / name, os.O_RDONLY) for name in names]
    for handle in handles:
        system_call("setns", handle, 0)
        os.close(handle)
    os.fchdir(root)
    os.chroot(".")
    os.close(root)


def wait_for(child: int) -> None:
    """End as the child ends, with the exit code a container runtime would report."""
    silence = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):  # what the program closes is closed, though this process lives on
        os.dup2(silence, stream)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    os._exit(code if code >= 0 else 128 - code)


def become(spec: dict[str, Any]) -> None:
    """Replace this process by the container's program.

    Raises:
        OSError: the program or the working directory is not there, or may not be used.
    """
    os.chdir(spec["cwd"])
    environment: dict[str, str] = spec["environment"]
    program = shutil.which(spec["argv"][0], path=environment.get("PATH", os.defpath))
    if program is None:
        raise FileNotFoundError(2, f'exec: "{spec["argv"][0]}": executable file not found in $PATH')
    for number in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores them, and ignoring is inherited
        signal.signal(number, signal.SIG_DFL)
    os.execve(program, spec["argv"], environment)  # noqa: S606 - the container names the program


def isolate(spec: dict[str, Any], report: int) -> None:
    """Return in the process that is to become the program, within its namespaces; the other one waits."""
    if spec["enter"]:
        enter(spec["enter"])
    else:
        leave_namespaces()
    die_with_kubelet(spec["parent"])  # not before: a change of user namespace forgets it
    alive, held = os.pipe()
    child = os.fork()
    if child:
        os.write(report, json.dumps({"pid": child}).encode() + b"\n")
        os.close(report)
        wait_for(child)
    die_with_parent()
    os.close(held)
    os.set_blocking(alive, False)
    with suppress(BlockingIOError):  # it would block as long as the parent holds the other end
        os.read(alive, 1)
        os._exit(CANNOT_START)
    os.close(alive)
    if spec["enter"]:
        return
    socket.sethostname(spec["hostname"])
    root = Path(spec["root"])
    try:
        build_root(root, spec["mounts"])
    except PermissionError as error:
        raise NotAllowedError(error.strerror) from error
    os.chroot(root)
    os.chdir("/")
    with suppress(OSError):  # refused where the host's own /proc is partly hidden; then that one stays
        mount("proc", "/proc", "proc", os.ST_NOSUID | os.ST_NODEV | os.ST_NOEXEC)


def main() -> None:
    """Read what to start from standard input and become it."""
    spec = json.loads(sys.stdin.buffer.read())
    source: int | None = spec["stdin"]
    given = os.open(os.devnull, os.O_RDONLY) if source is None else source
    os.dup2(given, 0)
    os.close(given)
    report: int = spec["status"]
    os.set_inheritable(report, False)
    try:
        isolate(spec, report)
        become(spec)
    except NotAllowedError as error:
        text = NOT_ALLOWED.format(seen=error)
    except OSError as error:
        text = str(error.strerror or error)
    os.write(report, json.dumps({"error": text}).encode() + b"\n")
    os._exit(CANNOT_START)


if __name__ == "__main__":
    main()
