"""A directory for each master, and in it one set of files for each slot."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from gateway.telemetry import metric_files


@pytest.fixture(autouse=True)
def parent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A place for directories, and a process that has none yet."""
    monkeypatch.setattr(metric_files, "_IN_MEMORY", tmp_path)
    monkeypatch.setattr(metric_files, "_directory", None)
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", "")
    return tmp_path


def opened() -> Path:
    metric_files.open_directory()
    directory = metric_files.directory()
    assert directory
    return directory


def test_a_process_gets_a_directory_that_only_its_user_can_enter(parent: Path) -> None:
    directory = opened()
    assert directory.parent == parent
    assert directory.stat().st_mode & 0o077 == 0
    assert os.environ["PROMETHEUS_MULTIPROC_DIR"] == str(directory)
    metric_files.remove()
    assert not directory.exists()


def test_a_directory_goes_with_the_last_process_that_held_its_lock(parent: Path) -> None:
    used = opened()
    lock = metric_files._lock
    assert used.exists()
    assert opened() != used
    assert used.exists(), "its lock is held"
    os.close(lock)
    opened()
    assert not used.exists()


def test_a_worker_takes_the_lowest_free_slot() -> None:
    opened()
    assert metric_files.reserve(set()) == 0
    assert metric_files.reserve({0, 1}) == 2
    assert metric_files.reserve({1, 2, None}) == 0


def test_what_a_slot_counted_stays_for_the_next_worker() -> None:
    directory = opened()
    metric_files.reserve(set())
    file = directory / "counter_worker-0.db"
    assert file.stat().st_blocks * 512 >= file.stat().st_size > 0, "every page is there before it is written"
    file.write_bytes(b"counted")
    metric_files.reserve(set())
    assert file.read_bytes() == b"counted"


def test_a_file_is_seen_when_it_is_whole_and_no_earlier(monkeypatch: pytest.MonkeyPatch) -> None:
    seen, allocate, directory = [], os.posix_fallocate, opened()

    def watched(descriptor: int, offset: int, size: int) -> None:
        seen.extend(file.stat().st_size for file in directory.glob("*.db"))
        allocate(descriptor, offset, size)

    monkeypatch.setattr(os, "posix_fallocate", watched)
    metric_files.reserve(set())
    assert seen
    assert 0 not in seen


def test_without_room_for_its_files_a_worker_has_no_slot(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: int) -> None:
        raise OSError(errno.ENOSPC, "full")

    opened()
    monkeypatch.setattr(os, "posix_fallocate", full)
    assert metric_files.reserve(set()) is None


def test_a_directory_that_somebody_tidied_away_is_made_again() -> None:
    directory = opened()
    (directory / "lock").unlink()
    directory.rmdir()
    assert metric_files.reserve(set()) == 0
