"""An owner is dead when its process is gone, and not a moment earlier."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.stores import StoreError
from gateway.stores import owners as owners_module
from gateway.stores.owners import Owners

PROGRAM = """
import sys
from pathlib import Path
from gateway.stores.owners import Owners
owners = Owners(Path(sys.argv[1]))
print(owners.claim(), flush=True)
sys.stdin.read()
if sys.argv[2:]:
    owners.release()
"""


@contextmanager
def another(data_dir: Path, *release: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Another process that is an owner until its standard input ends."""
    command = [sys.executable, "-c", PROGRAM, str(data_dir), *release]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            yield process, process.stdout.readline().strip()
        finally:
            process.kill()


def test_an_owner_whose_file_was_tidied_away_makes_it_again_before_others_take_it_for_dead(tmp_path: Path) -> None:
    owners, others = Owners(tmp_path), Owners(tmp_path)
    name = owners.claim()
    (tmp_path / "owners" / name).unlink()
    (tmp_path / "owners").rmdir()
    assert owners.dead([name]) == []
    assert others.dead([name]) == []


def test_an_owner_lives_while_its_process_does_stopped_or_not_and_no_longer(tmp_path: Path) -> None:
    owners = Owners(tmp_path)
    owners.claim()
    with another(tmp_path) as (process, name):
        assert owners.dead([name]) == []
        process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)
        assert owners.dead([name]) == []
        process.kill()
        process.wait()
        assert owners.dead([name]) == [name]
        assert owners.dead([]) == [name], "it is found by its file alone, too"
        owners.forget(name)
        assert owners.dead([]) == []
        assert owners.dead([name]) == [name], "who still holds something without a file is no more"
    owners.release()


def test_an_owner_that_releases_itself_leaves_nothing(tmp_path: Path) -> None:
    with another(tmp_path, "release") as (process, name):
        process.communicate()
        assert list((tmp_path / "owners").iterdir()) == []
        assert Owners(tmp_path).dead([name]) == [name]


def test_no_owner_takes_itself_for_dead(tmp_path: Path) -> None:
    owners = Owners(tmp_path)
    own = owners.claim()
    assert owners.dead([own]) == []
    assert Owners(tmp_path).dead([own]) == [], "nor does another one of the same process"
    owners.release()
    owners.release()


def test_no_two_owners_have_one_name(tmp_path: Path) -> None:
    names = set()
    for _ in range(50):
        owners = Owners(tmp_path)
        names.add(owners.claim())
        owners.release()
    assert len(names) == 50


@pytest.mark.parametrize("step", ["os.open", "fcntl.flock", "Path.rename"])
def test_a_half_made_owner_is_never_taken_for_dead(step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = []
    module, _, name = step.rpartition(".")
    place = getattr(owners_module, module)
    original = getattr(place, name)

    def watched(*args: Any) -> Any:
        with monkeypatch.context() as patch:
            patch.setattr(place, name, original)  # whoever looks takes the same steps
            looks.append(Owners(tmp_path).dead([]))
            done = original(*args)
            looks.append(Owners(tmp_path).dead([]))
        return done

    (tmp_path / "owners").mkdir()
    monkeypatch.setattr(place, name, watched)
    owners = Owners(tmp_path)
    owners.claim()
    assert looks == [[], []]
    monkeypatch.undo()
    owners.release()


def test_where_nothing_can_be_made_or_read_it_says_so(tmp_path: Path) -> None:
    (tmp_path / "owners").write_text("no directory")
    with pytest.raises(StoreError, match="owners cannot be written"):
        Owners(tmp_path).claim()
    with pytest.raises(StoreError, match="owners cannot be read"):
        Owners(tmp_path).dead([])
