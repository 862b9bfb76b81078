"""Platforms without the locked packages are told before anything is downloaded."""

import os
import sys
from types import SimpleNamespace

import pytest

from bootstrap.failures import SetupFailedError
from bootstrap.platforms import refuse_unsupported


@pytest.fixture(autouse=True)
def linux_on_x86(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(os, "uname", lambda: SimpleNamespace(machine="x86_64"))


def answer(monkeypatch: pytest.MonkeyPatch, version: str | Exception | None) -> None:
    def confstr(name: str) -> str | None:
        assert name == "CS_GNU_LIBC_VERSION"
        if isinstance(version, Exception):
            raise version
        return version

    monkeypatch.setattr(os, "confstr", confstr)


@pytest.mark.parametrize("version", ["glibc 2.28", "glibc 2.36", "glibc 3.0"])
def test_a_recent_glibc_will_do(monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    answer(monkeypatch, version)
    refuse_unsupported()


@pytest.mark.parametrize("version", [None, "", OSError(22, "x"), ValueError("unrecognized"), "musl 1.2.5"])
def test_musl_is_refused(monkeypatch: pytest.MonkeyPatch, version: str | Exception | None) -> None:
    answer(monkeypatch, version)
    with pytest.raises(SetupFailedError, match="musl"):
        refuse_unsupported()


@pytest.mark.parametrize("version", ["glibc 2.27", "glibc 2.17"])
def test_an_old_glibc_is_refused(monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    answer(monkeypatch, version)
    with pytest.raises(SetupFailedError, match=r"seen: 2\.\d\d; way out"):
        refuse_unsupported()


def test_another_processor_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    answer(monkeypatch, "glibc 2.36")
    monkeypatch.setattr(os, "uname", lambda: SimpleNamespace(machine="riscv64"))
    with pytest.raises(SetupFailedError, match="riscv64"):
        refuse_unsupported()


def test_macos_is_not_asked_for_a_glibc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    answer(monkeypatch, AssertionError("asked"))
    refuse_unsupported()
