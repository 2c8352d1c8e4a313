"""Responses are made of chats as OpenAI makes its own, and what a client sends back of them is what it was."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai import omit
from openai.lib.streaming.responses._responses import ResponseStreamState
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from gateway.model import Usage
from gateway.wire import responses_answers
from gateway.wire.openai import chunks, read_usage
from gateway.wire.responses_events import FromChat
from gateway.wire.responses_replay import events as replayed
from gateway.wire.responses_requests import to_chat
from tests.fakes import responses_answers as fake

EVENT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
DOCUMENT: dict[str, Any] = {
    "model": "smart",
    "input": "Hi",
    "instructions": "Be brief.",
    "tools": [{"type": "function", "name": "clock", "parameters": {"type": "object"}, "strict": False}],
    "tool_choice": {"type": "function", "name": "clock"},
    "temperature": 0.5,
    "reasoning": {"effort": "low"},
    "text": {"verbosity": "low"},
    "metadata": {"a": "b"},
    "max_output_tokens": 50,
    "stream": True,
}

TEXT = st.text(min_size=1, max_size=12)
NAME = st.from_regex(r"[a-z][a-z_]{0,8}", fullmatch=True)
BASE64 = st.from_regex(r"[A-Za-z0-9+/]{1,12}={0,2}", fullmatch=True)
NOTHING = Usage(0, 0)
COUNT = st.integers(0, 10**6)
THOUGHTS = st.lists(
    st.builds(lambda text, seal: {"type": "thinking", "thinking": text, "signature": seal}, TEXT, BASE64)
    | st.builds(lambda seal: {"type": "thinking", "thinking": "", "signature": seal}, BASE64)
    | st.builds(lambda data: {"type": "redacted_thinking", "data": data}, BASE64),
    max_size=3,
)


@st.composite
def calls(draw: st.DrawFn) -> list[dict[str, Any]]:
    made = []
    for number in range(draw(st.integers(0, 3))):
        call: dict[str, Any] = {"id": f"call_{number}"}
        if draw(st.booleans()):
            call |= {"type": "custom", "custom": {"name": draw(NAME), "input": draw(TEXT)}}
        else:
            call |= {"type": "function", "function": {"name": draw(NAME), "arguments": draw(TEXT)}}
        if draw(st.booleans()):
            call["extra_content"] = {"google": {"thought_signature": draw(BASE64)}}
        made.append(call)
    return made


@st.composite
def answers(draw: st.DrawFn) -> dict[str, Any]:
    """A chat completion with all that a response can tell too."""
    content, refusal = draw(st.none() | TEXT), draw(st.none() | TEXT)
    message: dict[str, Any] = {"role": "assistant", "content": content, "refusal": refusal}
    if thoughts := draw(THOUGHTS):
        message["reasoning_content"] = "".join(block.get("thinking", "") for block in thoughts)
        message["thinking_blocks"] = thoughts
    if used := draw(calls()):
        message["tool_calls"] = used
    whole = "tool_calls" if used else "stop"
    reason = draw(st.sampled_from([whole, "length", "content_filter"]))
    prompt, cached, written, said, thought = draw(st.tuples(*[COUNT] * 5))
    usage = {
        "prompt_tokens": prompt + cached + written,
        "completion_tokens": said + thought,
        "total_tokens": prompt + cached + written + said + thought,
        "prompt_tokens_details": {"cached_tokens": cached, "cache_write_tokens": written},
        "completion_tokens_details": {"reasoning_tokens": thought},
    }
    if content and draw(st.booleans()):
        places = {"start_index": 0, "end_index": len(content)}
        message["annotations"] = [
            {"type": "url_citation", "url_citation": {"title": draw(TEXT), "url": "https://a.test", **places}}
        ]
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": reason}
    head = {"id": "1", "object": "chat.completion", "created": 1_790_000_000, "model": "m"}
    return {**head, "choices": [choice], "usage": usage}


def streamed(answer: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The answer in the chunks that a vendor would make of it, thoughts among them."""
    (choice,) = answer["choices"]
    message, reason = choice["message"], choice["finish_reason"]
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    for block in message.get("thinking_blocks", ()):
        if block["type"] == "thinking":
            deltas += [{"reasoning_content": letter} for letter in block["thinking"]]
        deltas.append({"thinking_blocks": [block]})
    deltas += [{"content": letter} for letter in message["content"] or ""]
    deltas.append({"annotations": message.get("annotations")})
    deltas += [{"refusal": letter} for letter in message["refusal"] or ""]
    for index, call in enumerate(message.get("tool_calls", ())):
        kind, name = call["type"], "input" if call["type"] == "custom" else "arguments"
        deltas.append({"tool_calls": [{"index": index, **call, kind: {**call[kind], name: ""}}]})
        deltas += [{"tool_calls": [{"index": index, kind: {name: letter}}]} for letter in call[kind][name]]
    for delta in deltas:
        yield {**answer, "choices": [{"index": 0, "delta": delta, "finish_reason": None}], "usage": None}
    yield {**answer, "choices": [{"index": 0, "delta": {}, "finish_reason": reason}], "usage": None}
    yield {**answer, "choices": []}


def told(chunks_: Iterable[dict[str, Any]], document: dict[str, Any], usage: Usage = NOTHING) -> list[dict[str, Any]]:
    made = FromChat(document)
    events = [event for chunk in chunks_ for event in made.events(chunk)]
    return [*events, *made.end(usage)]


def response_of(answer: dict[str, Any], document: dict[str, Any]) -> dict[str, Any]:
    return responses_answers.from_chat(answer, document, used(answer))


def used(answer: dict[str, Any]) -> Usage:
    return read_usage(answer.get("usage")) or NOTHING


def folded(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The output as a client puts it together of the deltas alone."""
    output: list[dict[str, Any]] = []
    for event in events:
        kind = event["type"].removeprefix("response.")
        if kind == "output_item.added":
            assert event["output_index"] == len(output)
            output.append(dict(event["item"]))
            continue
        if "item_id" not in event:
            continue
        item = output[event["output_index"]]
        assert event["item_id"] == item["id"]
        if kind.endswith("_part.added"):
            name = "summary" if "summary_index" in event else "content"
            assert event.get("summary_index", event.get("content_index")) == len(item[name])
            item[name] = [*item[name], json.loads(json.dumps(event["part"]))]
        elif kind.endswith("annotation.added"):
            item["content"][-1]["annotations"].append(event["annotation"])
        elif kind.endswith(".delta"):
            part, name = (
                item,
                {"function_call_arguments": "arguments", "custom_tool_call_input": "input"}.get(kind[:-6]),
            )
            if name is None:
                part = item["summary" if "summary_index" in event else "content"][-1]
                name = "refusal" if kind.startswith("refusal") else "text"
            part[name] += event["delta"]
    return output


def without_ends(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Items without what only their last event tells."""
    return [
        {name: value for name, value in item.items() if name not in ("status", "encrypted_content")} for item in items
    ]


@given(answers(), st.sampled_from([{}, DOCUMENT]))
def test_a_response_is_one_of_openais_and_comes_back_as_it_was(
    answer: dict[str, Any], document: dict[str, Any]
) -> None:
    response = response_of(answer, document)
    Response.model_validate(response)
    chat = responses_answers.to_chat(response, 0)
    assert chat == {**answer, "id": "resp_1"}
    assert response_of(chat, document) == response


@given(answers())
def test_a_stream_ends_with_the_whole_response_and_tells_all_of_it_before(answer: dict[str, Any]) -> None:
    whole = response_of(answer, DOCUMENT)
    for chunks_ in (streamed(answer), chunks(answer)):
        events = told(chunks_, DOCUMENT, used(answer))
        assert [event["sequence_number"] for event in events] == list(range(len(events)))
        assert all(EVENT.validate_python(event).type == event["type"] for event in events)
        assert events[-1]["response"] == whole
        assert without_ends(folded(events)) == without_ends(whole["output"])
        done = [event["item"] for event in events if event["type"] == "response.output_item.done"]
        assert done == whole["output"]


@given(answers())
def test_openais_own_sdk_puts_a_stream_together_to_the_whole_response(answer: dict[str, Any]) -> None:
    answer["choices"][0]["finish_reason"] = "stop"
    state: Any = ResponseStreamState(input_tools=omit, text_format=omit)
    for event in told(streamed(answer), DOCUMENT, used(answer)):
        state.handle_event(EVENT.validate_python(event))
    whole = Response.model_validate(response_of(answer, DOCUMENT))
    assert state._completed_response.output_text == whole.output_text
    made = state._completed_response.to_dict()
    for part in (part for item in made["output"] for part in item.get("content") or ()):
        part.pop("parsed", None)  # what the SDK adds
    for item in made["output"]:
        item.pop("parsed_arguments", None)
    assert made == whole.to_dict()


@given(answers())
def test_a_whole_response_is_replayed_as_the_stream_that_ends_with_it(answer: dict[str, Any]) -> None:
    whole = response_of(answer, DOCUMENT)
    events = list(replayed(whole))
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert all(EVENT.validate_python(event).type == event["type"] for event in events)
    assert events[-1] == {"type": f"response.{whole['status']}", "sequence_number": len(events) - 1, "response": whole}
    assert without_ends(folded(events)) == without_ends(whole["output"])
    assert [event["item"] for event in events if event["type"] == "response.output_item.done"] == whole["output"]


@given(answers())
def test_what_a_client_sends_back_is_the_message_that_it_was(answer: dict[str, Any]) -> None:
    message = answer["choices"][0]["message"]
    response = Response.model_validate(response_of(answer, {}))
    items = [item.to_dict() for item in response.output]
    _, *back = to_chat({"input": [{"role": "user", "content": "Hi"}, *items]})["messages"]
    expected: dict[str, Any] = {"role": "assistant", "content": None}
    expected |= {name: message[name] for name in ("thinking_blocks", "tool_calls") if name in message}
    parts = [{"type": "text", "text": message["content"]}] if message["content"] else []
    parts += [{"type": "refusal", "refusal": message["refusal"]}] if message["refusal"] else []
    expected["content"] = parts or None
    assert back == ([expected] if items else [])


@pytest.mark.parametrize("answer", [{}, {"choices": []}, {"choices": [{"message": 1}]}])
def test_what_is_no_chat_completion_is_told(answer: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="cannot be read"):
        response_of(answer, {})


@pytest.mark.parametrize(
    "change",
    [{"status": "failed"}, {"error": {"code": "server_error"}}, {"output": None}, {"output": [{}]}, {"id": None}],
)
def test_what_is_no_response_or_failed_is_told(change: dict[str, Any]) -> None:
    whole = fake.answer({"model": "gpt-4o", "input": "Hi"}, 1) | change
    if "id" in change:
        del whole["id"]
    with pytest.raises(ValueError, match="response that"):
        responses_answers.to_chat(whole, 0)


@pytest.mark.parametrize(
    ("reported", "usage"),
    [
        ({"input_tokens": 9, "output_tokens": 5}, Usage(9, 5)),
        (
            {
                "input_tokens": 9,
                "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 2},
                "output_tokens": 5,
                "output_tokens_details": {"reasoning_tokens": 3},
            },
            Usage(9, 5, 4, 2, 3),
        ),
        ({"input_tokens": -1, "output_tokens": 5}, None),
        ({"input_tokens": "9", "output_tokens": 5}, None),
        (None, None),
        ([], None),
    ],
)
def test_usage_is_read_where_it_is_credible(reported: Any, usage: Usage | None) -> None:
    assert responses_answers.read_usage(reported) == usage


def test_a_response_in_the_background_has_not_ended() -> None:
    queued = fake.answer({"model": "gpt-4o", "input": "Hi"}, 1) | {"status": "queued", "output": [], "usage": None}
    assert responses_answers.to_chat(queued, 0)["choices"][0]["finish_reason"] is None
