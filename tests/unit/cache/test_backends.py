"""Both backends keep bytes for a while, between processes, and say so where they cannot."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Iterator
from pathlib import Path

import lmdb
import pytest

from gateway.cache import backends
from gateway.cache.backends import EmbeddedCache, RedisCache
from gateway.config import Secret
from gateway.stores import StoreError, embedded
from tests.fakes.redis_server import RedisServer

Backend = EmbeddedCache | RedisCache


@pytest.fixture(params=["embedded", "redis"])
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Backend]:
    if request.param == "embedded":
        yield EmbeddedCache(tmp_path)
    else:
        with RedisServer(tmp_path) as server:
            yield RedisCache(Secret(server.url))


def test_bytes_come_back_as_they_were(backend: Backend) -> None:
    assert backend.get("k") is None
    for value in (b"", b"\x00\xff", b"x" * 100_000, b"last"):
        assert backend.set("k", value, 60)
        assert backend.get("k") == value


def test_an_entry_ends_with_its_time(backend: Backend) -> None:
    backend.set("k", b"v", 1)
    assert backend.get("k") == b"v"
    time.sleep(1.1)
    assert backend.get("k") is None


def test_what_is_larger_than_a_megabyte_is_not_kept(backend: Backend) -> None:
    assert not backend.set("k", b"x" * (backends.LARGEST + 1), 60)
    assert backend.get("k") is None


def _write(data_dir: Path) -> None:
    cache = EmbeddedCache(data_dir)
    for number in range(200):
        cache.set(f"{os.getpid()}-{number}", str(number).encode(), 60)
    cache.set(f"{os.getpid()}", b"done", 60)


def test_processes_share_the_embedded_cache(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_write, args=(tmp_path,)) for _ in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    cache = EmbeddedCache(tmp_path)
    assert [cache.get(str(writer.pid)) for writer in writers] == [b"done"] * 3
    assert all(cache.get(f"{writer.pid}-{number}") for writer in writers for number in range(200))


def test_without_room_what_would_expire_first_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backends, "_BUDGET", 10_000)
    cache = EmbeddedCache(tmp_path)
    for number in range(30):
        cache.set(f"k{number}", b"x" * 1000, 60 + number)
    kept = [number for number in range(30) if cache.get(f"k{number}")]
    assert kept == list(range(23, 30))
    cache.set("k29", b"y", 60)
    assert cache.get("k29") == b"y"


def test_an_entry_that_is_replaced_takes_its_room_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backends, "_BUDGET", 10_000)
    cache = EmbeddedCache(tmp_path)
    cache.set("other", b"v", 60)
    for _ in range(30):
        cache.set("k", b"x" * 1000, 90)
    assert cache.get("other") == b"v"


def test_expired_entries_make_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1_000
    monkeypatch.setattr(backends, "_milliseconds", lambda: now)
    cache = EmbeddedCache(tmp_path)
    for number in range(5):
        cache.set(f"k{number}", b"v", 1)
    now += 5_000
    cache.set("fresh", b"v", 60)
    env = cache._env
    assert env.read(lambda transaction: transaction.stat(env.databases["entries"])["entries"]) == 1


def test_a_full_environment_is_emptied_and_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backends, "_MAP", 2 * 2**20)
    cache = EmbeddedCache(tmp_path)
    for number in range(20):
        assert cache.set(f"k{number}", b"x" * 300_000, 60)
    assert cache.get("k19")


@pytest.mark.parametrize("found", [b"", b"x", b"\xff" * 8, b"\x00" * 9])
def test_an_entry_that_is_too_short_or_forged_is_none_or_its_bytes_and_no_error(found: bytes, tmp_path: Path) -> None:
    cache = EmbeddedCache(tmp_path)
    env = cache._env
    env.write(lambda transaction: transaction.put(b"k", found, db=env.databases["entries"]))
    assert cache.get("k") in (None, b"")
    assert cache.set("k", b"v", 60)


def test_the_directory_of_an_earlier_boot_is_cleared_away(tmp_path: Path) -> None:
    earlier = tmp_path / "cache-00000000-0000-0000-0000-000000000000"
    earlier.mkdir()
    EmbeddedCache(tmp_path).set("k", b"v", 60)
    assert not earlier.exists()


def test_a_directory_that_cannot_be_made_is_a_failing_store(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="cache cannot be opened"):
        EmbeddedCache(tmp_path / "file").get("k")


def test_another_writer_is_waited_for_no_longer_than_a_moment(tmp_path: Path) -> None:
    cache = EmbeddedCache(tmp_path)
    cache.set("k", b"v", 60)
    holder = multiprocessing.get_context("spawn").Process(target=_hold, args=(tmp_path,))
    holder.start()
    while not (tmp_path / "held").exists():
        time.sleep(0.01)
    started = time.monotonic()
    with pytest.raises(StoreError):
        cache.set("k", b"w", 60)
    assert time.monotonic() - started < 1
    assert cache.get("k") == b"v", "reading waits for nobody"
    holder.kill()
    holder.join()
    assert cache.set("k", b"w", 60), "a killed process holds no lock"


def _hold(data_dir: Path) -> None:
    def stay(transaction: embedded.Transaction) -> None:
        (data_dir / "held").touch()
        time.sleep(60)

    EmbeddedCache(data_dir)._env.write(stay)


def test_a_process_that_comes_while_another_one_writes_waits_no_longer_either(tmp_path: Path) -> None:
    holder = multiprocessing.get_context("spawn").Process(target=_hold, args=(tmp_path,))
    holder.start()
    while not (tmp_path / "held").exists():
        time.sleep(0.01)
    cache, before = EmbeddedCache(tmp_path), len(list(Path("/proc/self/fd").iterdir()))
    started = time.monotonic()
    for _ in range(3):
        with pytest.raises(StoreError):
            cache.get("k")
    assert time.monotonic() - started < 1
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    holder.kill()
    holder.join()
    assert cache.get("k") is None


def test_no_page_of_a_mapped_file_is_missing_when_the_disk_is_full(tmp_path: Path) -> None:
    EmbeddedCache(tmp_path).get("k")
    (file,) = tmp_path.glob("*/lock.mdb")
    assert file.stat().st_blocks * 512 >= file.stat().st_size > 0


def test_readers_that_were_killed_are_cleared_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "_CHECK_EVERY", 0.0)
    cache = EmbeddedCache(tmp_path)
    cache.set("k", b"v", 60)
    (path,) = tmp_path.iterdir()
    reader = multiprocessing.get_context("spawn").Process(target=_read, args=(path,))
    reader.start()
    while not (tmp_path / "held").exists():
        time.sleep(0.01)
    reader.kill()
    reader.join()
    cache.set("k", b"w", 60)
    assert str(reader.pid) not in "".join(cache._env._env.readers().split())


def _read(path: Path) -> None:
    with lmdb.open(str(path), map_size=2**28, max_dbs=3).begin():
        (path.parent / "held").touch()
        time.sleep(60)


@pytest.mark.parametrize("fault", ["dead", "silent", "refusing", "read-only"])
def test_a_redis_that_does_not_serve_is_a_failing_store_within_a_moment(fault: str, tmp_path: Path) -> None:
    more = {"refusing": ["--requirepass", "other"], "read-only": ["--maxmemory", "1"]}.get(fault, [])
    with RedisServer(tmp_path, *more) as server:
        cache = RedisCache(Secret(server.url))
        if fault == "dead":
            server.kill()
        elif fault == "silent":
            server.pause()
        started = time.monotonic()
        with pytest.raises(StoreError) as caught:
            cache.set("k", b"v", 60)
        assert time.monotonic() - started < 2
        assert str(server.port) not in str(caught.value)
