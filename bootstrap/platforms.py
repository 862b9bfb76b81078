"""Whether the locked packages exist for this machine, asked before anything is downloaded."""

import os
import sys

from bootstrap.failures import SetupFailedError

# helm-python-sdk 0.2.2 is published for manylinux_2_28 only: it carries a Go program linked with glibc.
OLDEST_GLIBC = (2, 28)
MACHINES = ("x86_64", "aarch64", "arm64")


def refuse_unsupported() -> None:
    """Stop where no Helm library is published for the C library or processor.

    Raises:
        SetupFailedError: musl, an old glibc, or a processor other than x86-64 and ARM 64.
    """
    machine = os.uname().machine
    if machine not in MACHINES:
        raise SetupFailedError(
            expected="an x86-64 or ARM 64 machine (the Helm library has no other build)",
            seen=machine,
            remedy="run the suite on such a machine or in an emulated container",
        )
    if sys.platform != "linux":
        return
    wanted = ".".join(map(str, OLDEST_GLIBC))
    version = _glibc()
    if version is None or version < OLDEST_GLIBC:
        raise SetupFailedError(
            expected=f"glibc {wanted} or newer (the Helm library needs it)",
            seen="another C library, such as musl" if version is None else ".".join(map(str, version)),
            remedy="use Debian 10, Ubuntu 20.04, RHEL 8 or newer, or a container of one (python:3.13-slim)",
        )


def _glibc() -> tuple[int, int] | None:
    """Ask the C library which glibc it is; musl does not know the question."""
    try:
        name, _, version = (os.confstr("CS_GNU_LIBC_VERSION") or "").partition(" ")
        major, minor = version.split(".")[:2]
        return (int(major), int(minor)) if name == "glibc" else None
    except (ValueError, OSError):
        return None
