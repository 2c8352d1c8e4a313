"""The process knows its own number, and a child its own: what was opened before a fork is the parent's."""

from __future__ import annotations

import os
from multiprocessing import get_context
from typing import Any

from gateway import process
from gateway.model import new_id


def _tell(numbers: Any, ids: Any) -> None:
    numbers.put((process.number, os.getpid()))
    ids.put([new_id()[12:] for _ in range(200)])


def test_a_child_has_a_number_and_ids_of_its_own() -> None:
    new_id()  # so that there is something a child could go on with
    fork = get_context("fork")
    numbers, ids = fork.Queue(), fork.Queue()
    children = [fork.Process(target=_tell, args=(numbers, ids)) for _ in range(2)]
    for child in children:
        child.start()
    told, drawn = [numbers.get(timeout=30) for _ in children], [ids.get(timeout=30) for _ in children]
    for child in children:
        child.join(30)
    assert process.number == os.getpid()
    assert {known for known, _ in told} == {child.pid for child in children}
    assert all(known == asked for known, asked in told)
    every = [*drawn[0], *drawn[1], *(new_id()[12:] for _ in range(200))]
    assert len({*every}) == 600
