"""What is said in OpenAI's form reaches Gemini, and what Gemini says is the same streamed and whole."""

from __future__ import annotations

from itertools import groupby
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.model import Usage
from gateway.wire import sse
from gateway.wire.gemini_answers import read_usage, to_chat
from gateway.wire.gemini_events import ToChat
from gateway.wire.gemini_requests import from_chat
from gateway.wire.transcript import Transcript
from tests.fakes.gemini_schema import misfits

OLDER, NEWER, PRO = "gemini-2.5-flash", "gemini-3-flash-preview", "gemini-3-pro-preview"
MODEL = st.sampled_from([OLDER, NEWER, "gemini-flash-latest"])
TEXT = st.text(min_size=1, max_size=20)
NAME = st.from_regex(r"[a-z][a-z_]{0,8}", fullmatch=True)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAME, inner, max_size=3),
    max_leaves=6,
)
INPUT = st.dictionaries(NAME, JSON, max_size=3)
HI = {"role": "user", "content": "Hi"}
DUMMY = "skip_thought_signature_validator"
PNG: Any = {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}}
TOOL: Any = {"type": "function", "function": {"name": "clock", "description": "d", "parameters": {"type": "object"}}}


def call(at: Any, name: str = "clock", arguments: Any = None, **more: Any) -> dict[str, Any]:
    function = {"name": name, "arguments": orjson.dumps(arguments or {}).decode()}
    return {"id": f"call_{at}", "type": "function", "function": function, **more}


def said(*calls: Any, content: Any = None) -> dict[str, Any]:
    return {"role": "assistant", "content": content, "tool_calls": list(calls)}


def result(at: Any, content: Any, **more: Any) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": f"call_{at}", "content": content, **more}


def contents(*messages: Any, model: str = OLDER) -> Any:
    return from_chat({"messages": messages}, model)["contents"]


@st.composite
def conversations(draw: st.DrawFn) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = [{"role": "system", "content": "Be brief."}] if draw(st.booleans()) else []
    for turn in range(draw(st.integers(1, 3))):
        texts = draw(st.lists(TEXT, min_size=1, max_size=3))
        messages += [{"role": "user", "content": text} for text in texts]
        calls = [call(f"{turn}_{at}", *draw(st.tuples(NAME, INPUT))) for at in range(draw(st.integers(0, 3)))]
        messages.append(
            said(*calls, content=draw(st.none() | TEXT | st.just("")))
            if calls
            else {"role": "assistant", "content": draw(TEXT)}
        )
        for at in range(len(calls)):
            failed = draw(st.sampled_from([{}, {"is_error": True}]))
            messages.append(
                result(f"{turn}_{at}", draw(TEXT | INPUT.map(lambda told: orjson.dumps(told).decode())), **failed)
            )
    return messages


def told(messages: list[dict[str, Any]]) -> list[tuple[str, Any]]:
    """What a conversation says, one thing after the other."""
    found: list[tuple[str, Any]] = []
    for message in messages:
        if message["role"] == "tool":
            found.append(("result", (message["tool_call_id"], bool(message.get("is_error")), message["content"])))
        elif message["content"]:
            found.append((message["role"], message["content"]))
        for made in message.get("tool_calls", ()):
            found.append(("call", (made["id"], made["function"]["name"], orjson.loads(made["function"]["arguments"]))))
    return found


def told_gemini(document: dict[str, Any]) -> list[tuple[str, Any]]:
    """The same of what was made of it."""
    system = document.get("systemInstruction", {"parts": []})["parts"]
    found: list[tuple[str, Any]] = [("system", part["text"]) for part in system]
    for content in document["contents"]:
        for part in content["parts"]:
            if made := part.get("functionCall"):
                found.append(("call", (made["id"], made["name"], made["args"])))
            elif answered := part.get("functionResponse"):
                found.append(("result", (answered["id"], *_unwrapped(answered["response"]))))
            else:
                found.append(({"model": "assistant"}.get(content["role"], content["role"]), part["text"]))
    return found


def _unwrapped(response: dict[str, Any]) -> tuple[bool, Any]:
    failed, text = "error" in response, response.get("error", response.get("result"))
    return failed, text if isinstance(text, str) else orjson.dumps(text if failed else response).decode()


@given(conversations(), MODEL)
def test_a_conversation_reaches_gemini_whole_and_in_its_order(messages: list[dict[str, Any]], model: str) -> None:
    document = from_chat({"messages": messages}, model)
    plain = [m for m in messages if m["role"] != "tool" or _is_told_apart(m["content"])]
    kept = {m["tool_call_id"] for m in plain if m["role"] == "tool"}
    assert [one for one in told_gemini(document) if one[0] != "result" or one[1][0] in kept] == told(plain)
    assert misfits(OLDER if model == OLDER else NEWER, orjson.dumps(document)) == []


def _is_told_apart(content: str) -> bool:
    """Whether an object that stands as it is does not look like a text that was wrapped."""
    try:
        given_ = orjson.loads(content)
    except orjson.JSONDecodeError:
        return True
    return not isinstance(given_, dict) or not {"result", "error"} & given_.keys()


@st.composite
def answers(draw: st.DrawFn) -> dict[str, Any]:
    candidates = []
    for index in range(draw(st.integers(1, 2))):
        thoughts = draw(st.lists(TEXT.map(lambda text: {"text": text, "thought": True}), max_size=2))
        texts = draw(st.lists(TEXT.map(lambda text: {"text": text}), max_size=2))
        calls = []
        for at, (name, args) in enumerate(draw(st.lists(st.tuples(NAME, INPUT), max_size=2))):
            signed = {} if at else draw(st.sampled_from([{}, {"thoughtSignature": "c2lnbmVk"}]))
            calls.append({"functionCall": {"id": f"{index}_{at}", "name": name, "args": args}, **signed})
        reason = draw(st.sampled_from(["STOP", "MAX_TOKENS", "SAFETY", "MALFORMED_FUNCTION_CALL", "NEVER_HEARD"]))
        content = {"parts": [*thoughts, *texts, *calls], "role": "model"}
        candidates.append({"content": content, "finishReason": reason, "index": index})
    usage = {"promptTokenCount": draw(st.integers(1, 99)), "candidatesTokenCount": draw(st.integers(0, 99))}
    return {"candidates": candidates, "usageMetadata": usage, "responseId": "r1", "modelVersion": OLDER}


def streamed(answer: dict[str, Any]) -> list[dict[str, Any]]:
    """As Gemini might: a letter or a call at a time, the reason with the last that says anything."""
    found = []
    for candidate in answer["candidates"]:
        parts = [
            {**part, "text": letter} if "text" in part else part
            for part in candidate["content"]["parts"]
            for letter in part.get("text", "-")
        ]
        for part in parts:
            found.append({"content": {"parts": [part]}, "index": candidate["index"]})
        found += [{**candidate, "content": {"parts": [{"text": ""}]}}, {"index": candidate["index"]}]
    return [*({**answer, "candidates": [candidate]} for candidate in found), {"candidates": []}]


def folded(*events: dict[str, Any]) -> dict[str, Any]:
    stream, transcript = ToChat(1, "asked"), Transcript("chat")
    chunks = [chunk for event in events for chunk in stream.chunks(event)] + list(stream.end())
    assert stream.whole
    transcript.add(b"".join(sse.event(orjson.dumps(chunk)) for chunk in chunks))
    found: dict[str, Any] = orjson.loads(transcript.completion().body)
    return found


@given(answers())
def test_a_stream_put_together_is_the_whole_answer(answer: dict[str, Any]) -> None:
    assert folded(*streamed(answer)) == to_chat(answer, 1, "asked")


@given(answers())
def test_what_gemini_said_goes_back_to_it_signed_as_it_was(answer: dict[str, Any]) -> None:
    parts = answer["candidates"][0]["content"]["parts"]
    (_, *sent) = contents(HI, to_chat(answer, 1, "asked")["choices"][0]["message"])
    joined = ("".join(part["text"] for part in run) for key, run in groupby(parts, key=_kind) if key == "text")
    expected = [{"text": text} for text in joined] + [part for part in parts if "functionCall" in part]
    assert [part for content in sent for part in content["parts"]] == expected


def _kind(part: dict[str, Any]) -> str:
    return "call" if "functionCall" in part else "thought" if part.get("thought") else "text"


COUNT = st.integers(0, 10**9)


@given(COUNT, COUNT, COUNT, COUNT)
def test_usage_has_what_tools_brought_and_what_was_thought(
    prompt: int, brought: int, spoken: int, thought: int
) -> None:
    reported = {"promptTokenCount": prompt, "toolUsePromptTokenCount": brought, "candidatesTokenCount": spoken, "thoughtsTokenCount": thought}  # fmt: skip
    assert read_usage(reported) == Usage(prompt + brought, spoken + thought, reasoning_tokens=thought)
    cached = [read_usage({**reported, "cachedContentTokenCount": count}) for count in (prompt // 2, 10**9)]
    assert [usage and usage.cached_tokens for usage in cached] == [prompt // 2, prompt]


@pytest.mark.parametrize("wrong", [-1, 10**9 + 1, 1.0, "1", True, [1]])
@pytest.mark.parametrize(
    "name",
    [
        "promptTokenCount",
        "candidatesTokenCount",
        "thoughtsTokenCount",
        "cachedContentTokenCount",
        "toolUsePromptTokenCount",
    ],
)
def test_usage_that_is_not_credible_is_none(name: str, wrong: Any) -> None:
    answer = {"candidates": [{"finishReason": "STOP"}], "usageMetadata": {"promptTokenCount": 1, name: wrong}}
    stream = ToChat(1, "asked")
    assert [*stream.chunks(answer), *stream.end()][-1]["choices"] != []
    assert stream.misreported
    assert read_usage(answer["usageMetadata"]) is None
    assert "usage" not in to_chat(answer, 1, "asked")


@pytest.mark.parametrize("reported", [None, [], {}, {"candidatesTokenCount": 3}])
def test_usage_that_is_missing_is_none(reported: Any) -> None:
    assert read_usage(reported) is None


@pytest.mark.parametrize(
    ("reason", "word"),
    [("STOP", "stop"), ("MAX_TOKENS", "length"), ("SAFETY", "content_filter"), ("RECITATION", "content_filter"),
     ("IMAGE_SAFETY", "content_filter"), ("MALFORMED_FUNCTION_CALL", "stop"), ("OTHER", "stop"), (None, "stop")],
)  # fmt: skip
def test_a_candidate_without_content_says_why(reason: Any, word: str) -> None:
    (choice,) = to_chat({"candidates": [{"finishReason": reason}]}, 1, "asked")["choices"]
    assert (choice["finish_reason"], choice["message"]["content"]) == (word, None)


@pytest.mark.parametrize(
    ("reason", "word"), [("STOP", "tool_calls"), ("MAX_TOKENS", "length"), ("SAFETY", "content_filter")]
)
def test_calls_are_the_reason_where_gemini_has_no_other_and_have_ids_of_their_own(reason: str, word: str) -> None:
    part = {"functionCall": {"name": "clock"}}
    (choice,) = to_chat({"candidates": [{"content": {"parts": [part] * 2}, "finishReason": reason}]}, 1, "asked")[
        "choices"
    ]
    first, second = choice["message"]["tool_calls"]
    assert choice["finish_reason"] == word
    assert first["function"] == {"name": "clock", "arguments": "{}"}
    assert first["id"].startswith("call_")
    assert first["id"] != second["id"]


def test_a_blocked_prompt_is_a_refusal() -> None:
    answer = {"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}, "usageMetadata": {"promptTokenCount": 3}}
    whole = to_chat({**answer, "responseId": "r"}, 1, "asked")
    (choice,) = whole["choices"]
    assert choice["message"] == {"role": "assistant", "content": None, "refusal": choice["message"]["refusal"]}
    assert "blocked the prompt (PROHIBITED_CONTENT)" in choice["message"]["refusal"]
    assert choice["finish_reason"] == "content_filter"
    assert (whole["model"], whole["usage"]["prompt_tokens"]) == ("asked", 3)
    assert folded({**answer, "responseId": "r"}) == whole


@pytest.mark.parametrize(
    "answer",
    [{}, {"candidates": []}, {"candidates": [7]}, {"candidates": 7}, {"promptFeedback": {}}, {"promptFeedback": None}, [],
     {"candidates": [{"content": {"parts": [{"text": 7}]}}]}, {"candidates": [{"content": {"parts": [{"functionCall": {}}]}}]}],
    ids=str,
)  # fmt: skip
def test_what_is_no_answer_cannot_be_read(answer: Any) -> None:
    with pytest.raises(ValueError, match="cannot be read"):
        to_chat(answer, 1, "asked")


def test_a_stream_is_whole_once_every_choice_has_its_reason() -> None:
    stream = ToChat(1, "asked")
    assert not stream.whole
    for index, reason, whole in ((0, None, False), (1, "STOP", False), (0, "STOP", True)):
        list(stream.chunks({"candidates": [{"index": index, "finishReason": reason}]}))
        assert stream.whole is whole
