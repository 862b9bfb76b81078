"""Whole files or none, and secrets for their owner only."""

import os
import stat
from pathlib import Path

import pytest

from harness.core.errors import EnvironmentBroken
from harness.core.files import write_atomically, write_secret


def test_a_file_is_replaced_whole_and_nothing_else_is_left(tmp_path: Path) -> None:
    target = tmp_path / "report.json"
    write_atomically(target, "old, and much longer")
    write_atomically(target, "new")
    assert target.read_text() == "new"
    assert [entry.name for entry in tmp_path.iterdir()] == ["report.json"]
    assert stat.S_IMODE(target.stat().st_mode) == 0o644


def test_text_is_utf_8_and_bytes_stay_bytes(tmp_path: Path) -> None:
    write_atomically(tmp_path / "text", "…")
    write_atomically(tmp_path / "bytes", b"\xff\x00")
    assert (tmp_path / "text").read_bytes() == b"\xe2\x80\xa6"
    assert (tmp_path / "bytes").read_bytes() == b"\xff\x00"


def test_a_secret_is_readable_by_its_owner_only_whatever_the_umask(tmp_path: Path) -> None:
    previous = os.umask(0)
    try:
        write_secret(tmp_path / "identity", "value")
    finally:
        os.umask(previous)
    assert stat.S_IMODE((tmp_path / "identity").stat().st_mode) == 0o600


def test_a_failed_write_says_so_and_leaves_the_old_file_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "report.json"
    write_atomically(target, "old")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fchmod", full)
    with pytest.raises(EnvironmentBroken, match="No space left on device"):
        write_atomically(target, "new")
    assert target.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["report.json"]


def test_a_missing_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentBroken, match="No such file or directory"):
        write_atomically(tmp_path / "missing" / "report.json", "new")
