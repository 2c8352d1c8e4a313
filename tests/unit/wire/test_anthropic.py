"""What both dialects know survives the way from one to the other and back."""

from __future__ import annotations

from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from gateway.wire import anthropic_answers, anthropic_events, anthropic_requests
from gateway.wire.anthropic_from_chat import from_chat

TEXT = st.text(min_size=1, max_size=20)
NAME = st.from_regex(r"[a-z][a-z_]{0,8}", fullmatch=True)
MARK = st.sampled_from([{}, {"cache_control": {"type": "ephemeral"}}])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAME, inner, max_size=3),
    max_leaves=6,
)
INPUT = st.dictionaries(NAME, JSON, max_size=3)


def marked(block: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    return st.builds(lambda block, mark: {**block, **mark}, block, MARK)


text = marked(st.builds(lambda text: {"type": "text", "text": text}, TEXT))
image = marked(
    st.builds(
        lambda source: {"type": "image", "source": source},
        st.sampled_from(
            [
                {"type": "base64", "media_type": "image/png", "data": "aGk="},
                {"type": "url", "url": "https://example.test/a.png"},
            ]
        ),
    )
)
thought = st.builds(lambda text: {"type": "thinking", "thinking": text, "signature": "sig"}, TEXT)


@st.composite
def conversations(draw: st.DrawFn) -> list[dict[str, Any]]:
    turns: list[dict[str, Any]] = []
    for number in range(draw(st.integers(1, 3))):
        blocks = draw(st.lists(text | image, min_size=1, max_size=3))
        results = []
        if turns and (calls := [block for block in turns[-1]["content"] if block["type"] == "tool_use"]):
            for call in calls:
                content = draw(TEXT | st.lists(text, min_size=1, max_size=2))
                result = {"type": "tool_result", "tool_use_id": call["id"], "content": content}
                results.append(result | draw(st.sampled_from([{}, {"is_error": True}])))
        turns.append({"role": "user", "content": [*results, *blocks]})
        said = [*draw(st.lists(thought, max_size=1)), *draw(st.lists(text, min_size=1, max_size=2))]
        used = draw(st.lists(st.tuples(NAME, INPUT), max_size=2))
        calls_ = [
            {"type": "tool_use", "id": f"toolu_{number}_{at}", "name": name, "input": given_}
            for at, (name, given_) in enumerate(used)
        ]
        turns.append({"role": "assistant", "content": [*said, *calls_]})
    return turns


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    document: dict[str, Any] = {"max_tokens": draw(st.integers(1, 9999)), "messages": draw(conversations())}
    if draw(st.booleans()):
        document["system"] = draw(TEXT | st.lists(text, min_size=2, max_size=2))
    if draw(st.booleans()):
        document["temperature"] = 0.5
        document["stop_sequences"] = ["END"]
    if draw(st.booleans()):
        tool = draw(
            marked(st.builds(lambda n: {"name": n, "description": "d", "input_schema": {"type": "object"}}, NAME))
        )
        document["tools"] = [tool]
        document["tool_choice"] = draw(
            st.sampled_from(
                [
                    {"type": "auto"},
                    {"type": "any"},
                    {"type": "none"},
                    {"type": "tool", "name": tool["name"]},
                    {"type": "auto", "disable_parallel_tool_use": True},
                ]
            )
        )
    if draw(st.booleans()):
        document["output_config"] = {"format": {"type": "json_schema", "schema": {"type": "object"}}}
    return document


@given(documents())
def test_a_request_for_a_message_comes_back_as_it_was(document: dict[str, Any]) -> None:
    assert from_chat(anthropic_requests.to_chat(document), "claude-haiku-4-5", 1) == document


@st.composite
def messages(draw: st.DrawFn) -> dict[str, Any]:
    blocks = [
        *draw(st.lists(thought, max_size=2)),
        *draw(st.lists(st.builds(lambda t: {"type": "text", "text": t}, TEXT), max_size=1)),
    ]
    used = draw(st.lists(st.tuples(NAME, INPUT), max_size=2))
    blocks += [
        {"type": "tool_use", "id": f"toolu_{at}", "name": name, "input": given_}
        for at, (name, given_) in enumerate(used)
    ]
    counts = draw(st.tuples(*[st.integers(0, 10**6)] * 4))
    names = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens", "output_tokens")
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude",
        "content": blocks,
        "stop_reason": draw(st.sampled_from(["end_turn", "max_tokens", "tool_use", "refusal"])),
        "stop_sequence": None,
        "usage": dict(zip(names, counts, strict=True)),
    }


@given(messages())
def test_a_message_comes_back_as_it_was(message: dict[str, Any]) -> None:
    assert anthropic_answers.from_chat(anthropic_answers.to_chat(message, 1)) == message


def events_of(message: dict[str, Any]) -> list[dict[str, Any]]:
    """As Anthropic would stream it."""
    usage = {**message["usage"], "output_tokens": 1}
    told: list[dict[str, Any]] = [
        {"type": "message_start", "message": {**message, "content": [], "stop_reason": None, "usage": usage}}
    ]
    for index, block in enumerate(message["content"]):
        empty = {"text": {"text": ""}, "thinking": {"thinking": "", "signature": ""}, "tool_use": {"input": {}}}[
            block["type"]
        ]
        told.append({"type": "content_block_start", "index": index, "content_block": {**block, **empty}})
        deltas = {
            "text": lambda b: [{"type": "text_delta", "text": letter} for letter in b["text"]],
            "thinking": lambda b: [
                *({"type": "thinking_delta", "thinking": letter} for letter in b["thinking"]),
                {"type": "signature_delta", "signature": b["signature"]},
            ],
            "tool_use": lambda b: [{"type": "input_json_delta", "partial_json": orjson.dumps(b["input"]).decode()}],
        }[block["type"]](block)
        told += [{"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas]
        told.append({"type": "content_block_stop", "index": index})
    told.append(
        {
            "type": "message_delta",
            "delta": {"stop_reason": message["stop_reason"], "stop_sequence": None},
            "usage": message["usage"],
        }
    )
    return [*told, {"type": "message_stop"}]


def whole(events: list[dict[str, Any]]) -> dict[str, Any]:
    """What a client makes of events."""
    message = {**events[0]["message"], "content": []}
    for event in events[1:]:
        if event["type"] == "content_block_start":
            message["content"].append(dict(event["content_block"]))
            pieces = ""
        elif event["type"] == "content_block_delta":
            block, delta = message["content"][event["index"]], event["delta"]
            if delta["type"] == "input_json_delta":
                pieces += delta["partial_json"]
            else:
                name = delta["type"].removesuffix("_delta")
                block[name] += delta[name]
        elif event["type"] == "content_block_stop" and message["content"][-1]["type"] == "tool_use":
            message["content"][-1]["input"] = orjson.loads(pieces or "{}")
        elif event["type"] == "message_delta":
            message |= event["delta"]
            message["usage"] = event["usage"]
    return message


@given(messages())
def test_a_stream_of_a_message_comes_back_as_it_was(message: dict[str, Any]) -> None:
    message["content"] = [block for at, block in enumerate(message["content"]) if block["type"] != "thinking" or not at]
    there, back = anthropic_events.ToChat(1), anthropic_events.FromChat()
    chunks = [chunk for event in events_of(message) for chunk in there.chunks(event)]
    told = [event for chunk in chunks for event in back.events(chunk)] + list(back.end())
    assert whole(told) == message
