"""Calls of tools put together of their pieces, whatever a vendor's habits."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import orjson
import pytest

from gateway.wire import chat_calls
from gateway.wire.chat_calls import Calls

Dict = dict[str, Any]


def piece(index: Any, its_id: Any, name: Any, arguments: Any) -> Dict:
    entry = {"index": index, "id": its_id, "function": {"name": name, "arguments": arguments}}
    return {key: value for key, value in entry.items() if value is not None}


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        ([(0, "a", "f", "{"), (1, "b", "g", "{"), (0, None, None, "}"), (1, None, None, "}")], ["f{}", "g{}"]),
        ([(0, "a", "f", "{"), (0, "b", "f", "{"), (0, "a", None, "}"), (0, "b", None, "}")], ["f{}", "f{}"]),
        ([(0, None, "f", "{}"), (0, None, "f", "{}")], ["f{}", "f{}"]),
        ([(0, None, "f", "{"), (0, None, "f", "}")], ["f{}"]),
        ([(0, None, "f", ""), (0, None, "g", "")], ["f", "g"]),
        ([(None, None, "f", ""), (None, None, "f", "")], ["f", "f"]),
        ([(None, None, "f", "{"), (None, None, None, "}")], ["f{}"]),
        ([(0, None, None, "{"), (0, "late", "f", "}")], ["f{}"]),
        ([(0, "a", "f", {"x": 1})], ['f{"x":1}']),
        ([(0, 5, 5, 5), ([], "a", "f", "{}")], ["f{}"]),
    ],
)
def test_calls_are_told_apart_however_a_vendor_numbers_and_names_them(pieces: list[Any], expected: list[str]) -> None:
    calls = Calls()
    begun = [call for given in pieces if (call := calls.add(piece(*given)))]
    assert [call.name + call.take() for call in begun] == expected


def test_a_call_is_whole_once_its_input_can_be_read_and_of_any_text_never() -> None:
    calls = Calls()
    call = calls.add(piece(0, "a", "f", '{"x": {}'))
    assert call
    assert not call.whole
    calls.add(piece(0, None, None, "}"))
    assert call.whole
    custom = Calls().add({"custom": {"name": "f", "input": "{}"}})
    assert custom
    assert (custom.whole, custom.take()) == (False, "{}")


def test_a_vendor_whose_every_piece_might_be_the_last_costs_no_square_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    read = 0

    def counted(text: str) -> Any:
        nonlocal read
        read += len(text)
        return orjson.loads(text)

    monkeypatch.setattr(
        chat_calls, "orjson", SimpleNamespace(loads=counted, dumps=orjson.dumps, JSONDecodeError=orjson.JSONDecodeError)
    )
    calls = Calls()
    call = calls.add(piece(0, "a", "f", '{"x": "'))
    assert call
    for _ in range(10_000):
        calls.add(piece(0, None, None, "..........}"))
        assert not call.whole
    assert 100_000 < read < 10 * 110_000 + 65_536
