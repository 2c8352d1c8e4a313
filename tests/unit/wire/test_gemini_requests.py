"""Each field of a request has its place in Gemini's, or is refused."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from gateway.wire.fields import Untranslatable
from gateway.wire.gemini_requests import from_chat
from tests.fakes.gemini_schema import misfits
from tests.unit.wire.test_gemini import DUMMY, HI, NEWER, OLDER, PNG, PRO, TOOL, call, contents, result, said


def sent(model: str = OLDER, **more: Any) -> Any:
    """A request that Gemini takes."""
    document = from_chat({"messages": [HI], **more}, model)
    assert misfits(model, orjson.dumps(document)) == []
    return document


@pytest.mark.parametrize(
    ("asked", "config"),
    [
        ({"temperature": 0, "top_p": 0.5, "top_k": 4}, {"temperature": 0, "topP": 0.5, "topK": 4}),
        ({"n": 2, "seed": 7}, {"candidateCount": 2, "seed": 7}),
        ({"frequency_penalty": 1, "presence_penalty": -1}, {"frequencyPenalty": 1, "presencePenalty": -1}),
        ({"stop": "END"}, {"stopSequences": ["END"]}),
        ({"stop": ["A", "B"]}, {"stopSequences": ["A", "B"]}),
        ({"max_tokens": 5}, {"maxOutputTokens": 5}),
        ({"max_completion_tokens": 5, "max_tokens": 9}, {"maxOutputTokens": 5}),
        ({"response_format": {"type": "json_object"}}, {"responseMimeType": "application/json"}),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "object"}}}},
            {"responseMimeType": "application/json", "responseJsonSchema": {"type": "object"}},
        ),
    ],
    ids=str,
)
def test_how_to_generate(asked: dict[str, Any], config: dict[str, Any]) -> None:
    assert sent(**asked)["generationConfig"] == config


@pytest.mark.parametrize("asked", [{}, {"response_format": {"type": "text"}}, {"stop": None}, {"seed": None}], ids=str)
def test_what_nobody_asked_for_is_not_sent(asked: dict[str, Any]) -> None:
    assert sent(**asked) == {"contents": [{"role": "user", "parts": [{"text": "Hi"}]}]}


@pytest.mark.parametrize(
    ("model", "asked", "thinking"),
    [
        (OLDER, {"reasoning_effort": "none"}, {"thinkingBudget": 0}),
        (OLDER, {"reasoning_effort": "low"}, {"includeThoughts": True, "thinkingBudget": 1024}),
        (OLDER, {"reasoning_effort": "high"}, {"includeThoughts": True, "thinkingBudget": 24_576}),
        (NEWER, {"reasoning_effort": "none"}, {"thinkingLevel": "MINIMAL"}),
        (NEWER, {"reasoning_effort": "medium"}, {"includeThoughts": True, "thinkingLevel": "MEDIUM"}),
        (PRO, {"reasoning_effort": "minimal"}, {"includeThoughts": True, "thinkingLevel": "LOW"}),
        (OLDER, {"thinking": {"type": "enabled", "budget_tokens": 2000}}, {"includeThoughts": True, "thinkingBudget": 2000}),
        (NEWER, {"thinking": {"type": "enabled", "budget_tokens": 2000}}, {"includeThoughts": True, "thinkingBudget": 2000}),
        (OLDER, {"thinking": {"type": "adaptive"}}, {"includeThoughts": True}),
        (OLDER, {"thinking": {"type": "disabled"}, "reasoning_effort": "high"}, {"thinkingBudget": 0}),
        (PRO, {"thinking": {"type": "disabled"}}, {"thinkingLevel": "LOW"}),
    ],
    ids=str,
)  # fmt: skip
def test_how_much_to_think_is_said_as_the_model_takes_it(model: str, asked: Any, thinking: Any) -> None:
    assert sent(model, **asked)["generationConfig"] == {"thinkingConfig": thinking}


@pytest.mark.parametrize(
    ("choice", "calling"),
    [
        ("auto", {"mode": "AUTO"}),
        ("none", {"mode": "NONE"}),
        ("required", {"mode": "ANY"}),
        ({"type": "function", "function": {"name": "clock"}}, {"mode": "ANY", "allowedFunctionNames": ["clock"]}),
    ],
    ids=str,
)
def test_which_tool_to_call(choice: Any, calling: dict[str, Any]) -> None:
    document = sent(tools=[TOOL, {"type": "function", "function": {"name": "bare"}}], tool_choice=choice)
    told = {"name": "clock", "description": "d", "parametersJsonSchema": {"type": "object"}}
    assert document["tools"] == [{"functionDeclarations": [told, {"name": "bare"}]}]
    assert document["toolConfig"] == {"functionCallingConfig": calling}


def test_instructions_stand_apart_wherever_they_were() -> None:
    told = [
        {"role": "system", "content": "A"},
        HI,
        {"role": "developer", "content": [{"type": "text", "text": "B"}]},
        HI,
    ]
    document = sent(messages=told)
    assert document["systemInstruction"] == {"parts": [{"text": "A"}, {"text": "B"}]}
    assert document["contents"] == [{"role": "user", "parts": [{"text": "Hi"}, {"text": "Hi"}]}]


@pytest.mark.parametrize(
    ("part", "own"),
    [
        (PNG, {"inlineData": {"mimeType": "image/png", "data": "aGk="}}),
        (
            {"type": "image_url", "image_url": {"url": "https://example.test/a/b.webp?size=1#top"}},
            {"fileData": {"fileUri": "https://example.test/a/b.webp?size=1#top", "mimeType": "image/webp"}},
        ),
        ({"type": "input_audio", "input_audio": {"data": "aGk=", "format": "wav"}}, {"inlineData": {"mimeType": "audio/wav", "data": "aGk="}}),
        (
            {"type": "file", "file": {"file_data": "data:application/pdf;base64,aGk=", "filename": "a.pdf"}},
            {"inlineData": {"mimeType": "application/pdf", "data": "aGk="}},
        ),
        (
            {"type": "file", "file": {"file_data": "https://example.test/a.pdf"}},
            {"fileData": {"fileUri": "https://example.test/a.pdf", "mimeType": "application/pdf"}},
        ),
        ({"type": "file", "file": {"file_data": "data:text/plain,one, two"}}, {"text": "one, two"}),
    ],
    ids=str,
)  # fmt: skip
def test_files_are_shown(part: Any, own: Any) -> None:
    document = sent(messages=[{"role": "user", "content": [part, {"type": "text", "text": ""}]}])
    assert document["contents"] == [{"role": "user", "parts": [own]}]


@pytest.mark.parametrize(
    ("content", "more", "response"),
    [
        ("noon", {}, {"result": "noon"}),
        ("", {}, {"result": ""}),
        ("[1]", {}, {"result": "[1]"}),
        ('{"at": 12}', {}, {"at": 12}),
        ("no clock", {"is_error": True}, {"error": "no clock"}),
        ('{"at": 12}', {"is_error": True}, {"error": {"at": 12}}),
        ([{"type": "text", "text": '{"at"'}, {"type": "text", "text": ": 12}"}], {}, {"at": 12}),
    ],
    ids=str,
)
def test_what_a_tool_says_is_an_object(content: Any, more: Any, response: Any) -> None:
    turn = contents(HI, said(call(1)), result(1, content, **more))[2]
    assert turn == {
        "role": "user",
        "parts": [{"functionResponse": {"id": "call_1", "name": "clock", "response": response}}],
    }


@pytest.mark.parametrize("model", [OLDER, NEWER])
def test_a_file_of_a_tool_stands_where_the_model_looks_for_it(model: str) -> None:
    shown = [{"type": "text", "text": "seen"}, PNG]
    told = [HI, said(call(1), call(2)), result(1, shown), result(2, "b"), HI]
    _, _, results, after = sent(model, messages=told)["contents"]
    first = results["parts"][0]["functionResponse"]
    image = {"inlineData": {"mimeType": "image/png", "data": "aGk="}}
    assert (first["response"], len(results["parts"])) == ({"result": "seen"}, 2)
    assert first.get("parts") == ([image] if model == NEWER else None)
    assert after["parts"] == [*([] if model == NEWER else [image]), {"text": "Hi"}]


def test_an_id_that_is_used_again_is_of_the_latest_call() -> None:
    told = contents(HI, said(call(1, "a")), result(1, "x"), said(call(1, "b")), result(1, "y"))
    assert [turn["parts"][0]["functionResponse"]["name"] for turn in told[2::2]] == ["a", "b"]


def test_the_first_call_of_every_turn_is_signed_where_a_model_insists() -> None:
    own = {"extra_content": {"google": {"thought_signature": "c2ln"}}}
    told = [
        HI,
        said(call(1), call(2)),
        result(1, "a"),
        result(2, "b"),
        said(call(3, **own), call(4)),
        result(3, "c"),
        result(4, "d"),
    ]
    signatures = {
        model: [part.get("thoughtSignature") for turn in contents(*told, model=model)[1::2] for part in turn["parts"]]
        for model in (OLDER, NEWER)
    }
    assert signatures == {OLDER: [None, None, "c2ln", None], NEWER: [DUMMY, None, "c2ln", None]}


@pytest.mark.parametrize("extra", [None, 7, "x", {"google": 7}, {"google": {"thought_signature": 7}}, {"google": {}}])
def test_a_signature_that_is_none_is_none(extra: Any) -> None:
    assert contents(HI, said(call(1, extra_content=extra)))[1]["parts"][0].keys() == {"functionCall"}


def test_thoughts_of_another_model_are_left_out_and_a_refusal_is_text() -> None:
    parts = [{"type": "thinking", "thinking": "hm", "signature": "s"}, {"type": "redacted_thinking", "data": "x"}]
    quiet = {
        "role": "assistant",
        "content": parts,
        "refusal": None,
        "thinking_blocks": parts,
        "reasoning_content": "hm",
    }
    refused = {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}], "refusal": "Never."}
    _, answered, *rest = contents(HI, quiet, refused)
    assert (answered, rest) == ({"role": "model", "parts": [{"text": "No."}, {"text": "Never."}]}, [])
    assert contents(HI, quiet, HI) == [{"role": "user", "parts": [{"text": "Hi"}, {"text": "Hi"}]}]


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"tools": [{"type": "custom", "custom": {"name": "a"}}]}, "tools"),
        ({"tools": [{"type": "web_search"}]}, "tools"),
        ({"tools": [TOOL], "tool_choice": {"type": "allowed_tools"}}, "tool_choice"),
        ({"messages": [{"role": "function", "name": "a", "content": "b"}]}, "messages"),
        ({"messages": [result(1, "no such call")]}, "messages"),
        ({"messages": [said({"id": "call_1", "type": "custom", "custom": {"name": "a", "input": "b"}})]}, "messages"),
        ({"messages": [said({"id": "call_1", "function": {"name": "a", "arguments": "[]"}})]}, "messages"),
        ({"messages": [said({"id": "call_1", "function": {"name": "a", "arguments": "{"}})]}, "messages"),
        ({"messages": [{"role": "user", "content": [{"type": "video_url"}]}]}, "messages"),
        ({"messages": [{"role": "user", "content": [{"type": "file", "file": {"file_id": "file-1"}}]}]}, "messages"),
        *(
            ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}]}, "messages")
            for url in ("data:image/png,raw", "https://example.test/image", "https://example.com", "http://[", "a.png")
        ),
    ],
    ids=str,
)  # fmt: skip
def test_what_gemini_has_nothing_like_is_refused(asked: dict[str, Any], field: str) -> None:
    with pytest.raises(Untranslatable) as caught:
        from_chat({"messages": [HI], **asked}, OLDER)
    assert caught.value.field == field
