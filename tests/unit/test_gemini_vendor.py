"""The fake Gemini that other tests rely on: it takes what the official SDK sends, and nothing that does not fit."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from google import genai
from google.genai import errors, types
from pydantic import BaseModel

from tests.fakes.gemini_answers import BLOCK, HOLD_BACK, THOUGHT, answer, events, exhausted, signature
from tests.fakes.gemini_schema import COUNT, DIMENSIONS, EMBED, misfits
from tests.fakes.gemini_vendor import DRESSES, PROVIDER_KEY, GeminiVendor

MODEL = "gemini-2.5-flash"
NEWER = "gemini-3-flash-preview"
HELLO: Any = {"contents": [{"role": "user", "parts": [{"text": "Hello, Wörld 🙂"}]}]}
CLOCK: Any = {"name": "clock", "parametersJsonSchema": {"type": "object", "properties": {"zone": {"type": "string"}}}}
TOOLS: Any = {"tools": [{"functionDeclarations": [CLOCK]}]}
ASKS: Any = {"role": "user", "parts": [{"text": "What time is it?"}]}
CALLS: Any = {"role": "model", "parts": [{"functionCall": {"name": "clock", "args": {}}}]}
TELLS: Any = {"role": "user", "parts": [{"functionResponse": {"name": "clock", "response": {"result": "noon"}}}]}


class Town(BaseModel):
    name: str
    people: int


@pytest.fixture
def vendor() -> Iterator[GeminiVendor]:
    with GeminiVendor(behind_gateway=False) as vendor:
        yield vendor


@pytest.fixture
def client(vendor: GeminiVendor) -> Iterator[genai.Client]:
    with opened(vendor) as client:
        yield client


def opened(vendor: GeminiVendor, key: str = PROVIDER_KEY) -> genai.Client:
    return genai.Client(api_key=key, http_options={"base_url": vendor.base_url, "api_version": "v1beta"})


def ask(client: genai.Client, stream: bool = False, contents: Any = "Hello", model: str = MODEL, **config: Any) -> Any:
    """The last answer, and what all of them say together."""
    given: Any = {"automatic_function_calling": {"disable": True}, **config}
    if not stream:
        whole = client.models.generate_content(model=model, contents=contents, config=given)
        return whole, list(whole.candidates[0].content.parts if whole.candidates[0].content else ())
    told = list(client.models.generate_content_stream(model=model, contents=contents, config=given))
    parts = [part for chunk in told if chunk.candidates[0].content for part in chunk.candidates[0].content.parts]
    return told[-1], parts


def text(parts: list[types.Part]) -> str:
    return "".join(part.text or "" for part in parts if not part.thought)


@pytest.mark.parametrize("stream", [False, True])
def test_the_sdk_reads_a_text_and_what_it_took(stream: bool, client: genai.Client, vendor: GeminiVendor) -> None:
    found, parts = ask(client, stream, system_instruction="Be brief.", temperature=0.5, top_k=3, stop_sequences=["END"])
    assert text(parts).startswith("Answer 0 to “Hello” with 0 files: 🙂")
    assert found.candidates[0].finish_reason is types.FinishReason.STOP
    usage = found.usage_metadata
    assert usage.cached_content_token_count == usage.prompt_token_count // 3 > 0
    assert usage.total_token_count == usage.prompt_token_count + usage.candidates_token_count
    assert (found.model_version, found.response_id) == (MODEL, "resp00000001")
    assert vendor.complaints == []


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("model", [MODEL, NEWER])
def test_a_conversation_with_tools_goes_on_as_the_sdk_writes_it(model: str, stream: bool, client: genai.Client) -> None:
    tools = [types.Tool(function_declarations=[types.FunctionDeclaration.model_validate(CLOCK)])]
    _, said = ask(client, stream, model=model, tools=tools)
    assert [part.function_call.name for part in said] == ["clock", "clock"]
    assert [bool(part.thought_signature) for part in said] == [True, False]
    assert all(bool(part.function_call.id) == (model == NEWER) for part in said)
    told = [
        types.Part(
            function_response=types.FunctionResponse(id=p.function_call.id, name="clock", response={"result": 1})
        )
        for p in said
    ]
    contents = [
        types.Content(role="user", parts=[types.Part(text="What time is it?")]),
        types.Content(role="model", parts=said),
        types.Content(role="user", parts=told),
    ]
    _, parts = ask(client, stream, contents, model, tools=tools)
    assert text(parts) == 'The tools said [{"result": 1}, {"result": 1}].'


@pytest.mark.parametrize("stream", [False, True])
def test_thoughts_are_shown_to_whom_asked_and_counted(stream: bool, client: genai.Client) -> None:
    found, parts = ask(client, stream, thinking_config=types.ThinkingConfig(include_thoughts=True, thinking_budget=99))
    assert "".join(part.text for part in parts if part.thought) == THOUGHT
    assert found.usage_metadata.thoughts_token_count == -(-len(THOUGHT) // 5)


@pytest.mark.parametrize(
    "form", [{"response_schema": Town}, {"response_json_schema": Town.model_json_schema()}], ids=str
)
def test_an_answer_has_the_form_that_was_asked_for(form: Any, client: genai.Client) -> None:
    found, parts = ask(client, response_mime_type="application/json", **form)
    assert Town.model_validate_json(text(parts)) == Town(name="München ☕", people=42)
    assert found.parsed


def test_images_are_seen(client: genai.Client) -> None:
    shown = types.Part.from_bytes(data=b"\x89PNG\xff\xfe", mime_type="image/png")
    linked = types.Part.from_uri(file_uri="https://example.test/a.jpg", mime_type="image/jpeg")
    _, parts = ask(client, contents=["What is it?", shown, linked])
    assert "with 2 files" in text(parts)


@pytest.mark.parametrize("stream", [False, True])
def test_a_prompt_is_blocked_without_a_candidate(stream: bool, client: genai.Client) -> None:
    ways = client.models.generate_content_stream, client.models.generate_content
    asked: Any = {"model": MODEL, "contents": BLOCK}
    (found,) = ways[0](**asked) if stream else [ways[1](**asked)]
    assert found.candidates is None
    assert found.prompt_feedback.block_reason is types.BlockedReason.PROHIBITED_CONTENT  # type: ignore[union-attr]


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_is_held_back_or_cut_off(stream: bool, client: genai.Client) -> None:
    found, parts = ask(client, stream, HOLD_BACK)
    assert (found.candidates[0].finish_reason, parts) == (types.FinishReason.SAFETY, [])
    found, parts = ask(client, stream, max_output_tokens=2)
    assert (found.candidates[0].finish_reason, text(parts)) == (types.FinishReason.MAX_TOKENS, "Answer 0 t")


@pytest.mark.parametrize("uncounted", [False, True])
def test_texts_are_embedded_as_the_sdk_asks(uncounted: bool, client: genai.Client, vendor: GeminiVendor) -> None:
    vendor.now.uncounted = uncounted
    config = types.EmbedContentConfig(task_type="RETRIEVAL_DOCUMENT", title="Towns", output_dimensionality=5)
    contents: Any = ["a", "b"]
    found = client.models.embed_content(model="gemini-embedding-001", contents=contents, config=config)
    first, second = [one.values for one in found.embeddings or ()]
    assert (len(first or ()), first == second) == (5, False)
    assert (found.usage_metadata.prompt_token_count if found.usage_metadata else None) == (None if uncounted else 21)
    (whole,) = client.models.embed_content(model="gemini-embedding-001", contents="a").embeddings or ()
    assert len(whole.values or ()) == DIMENSIONS
    assert vendor.complaints == []


def test_the_sdk_reads_a_count_that_is_what_an_answer_reports(client: genai.Client, vendor: GeminiVendor) -> None:
    counted = client.models.count_tokens(model=MODEL, contents="Hello")
    found, _ = ask(client)
    assert counted.total_tokens == found.usage_metadata.prompt_token_count > 0
    assert vendor.complaints == []


@pytest.mark.parametrize(
    ("status", "name"), [(400, "INVALID_ARGUMENT"), (429, "RESOURCE_EXHAUSTED"), (503, "UNAVAILABLE")]
)
@pytest.mark.parametrize("stream", [False, True])
def test_the_sdk_reads_a_failure(
    stream: bool, status: int, name: str, client: genai.Client, vendor: GeminiVendor
) -> None:
    vendor.now.status = status
    with pytest.raises(errors.APIError) as caught:
        ask(client, stream)
    assert (caught.value.code, caught.value.status) == (status, name)


def test_a_quota_of_a_day_has_its_name() -> None:
    first, *_, last = json.loads(exhausted("Day"))["error"]["details"]
    assert first["violations"][0]["quotaId"] == "GenerateRequestsPerDayPerProjectPerModel-FreeTier"
    assert last["retryDelay"] == "17s"


def test_only_who_shows_the_key_is_answered(vendor: GeminiVendor) -> None:
    with opened(vendor, "another") as client, pytest.raises(errors.ClientError, match="API_KEY_INVALID"):
        ask(client)
    assert vendor.complaints == ["not the vendor's key"]


def test_a_header_of_the_sdk_is_a_complaint_where_a_gateway_should_be() -> None:
    with GeminiVendor(secret=PROVIDER_KEY) as vendor, opened(vendor) as client, pytest.raises(errors.ClientError):
        ask(client)
    assert {"header x-goog-api-client", "the client's key"} <= set(vendor.complaints)


def test_nothing_is_at_another_path(vendor: GeminiVendor) -> None:
    headers = {"x-goog-api-key": PROVIDER_KEY}
    found = requests.post(
        f"{vendor.base_url}/v1beta/models/../x:generateContent", json=HELLO, headers=headers, timeout=5
    )
    assert found.status_code == 400
    assert vendor.complaints[0].startswith("nothing is at")


@pytest.mark.parametrize(
    ("more", "complaint"),
    [
        ({"max_tokens": 5}, "max_tokens: Extra inputs"),
        ({"system_instruction": {"parts": [{"text": "a"}]}}, ".systemInstruction: is not spelt so"),
        ({"generationConfig": {"temperature": "0.5"}}, ".generationConfig.temperature: '0.5' is of another type"),
        ({"generationConfig": {"seed": 1.5}}, "generationConfig.seed: "),
        ({"generationConfig": {"audioTimestamp": True}}, "audio_timestamp is not supported in the Gemini API"),
        ({"generationConfig": {"responseJsonSchema": {}}}, "a response schema needs"),
        ({"generationConfig": {"thinkingConfig": {"thinkingLevel": "LOW"}}}, "Thinking level is not supported"),
        ({"generationConfig": {"thinkingConfig": {"thinkingLevel": "MUCH"}}}, "MUCH is not a valid ThinkingLevel"),
        ({**TOOLS, "toolConfig": {"functionCallingConfig": {"mode": "any"}}}, ".toolConfig.functionCallingConfig.mode: "),
        ({"toolConfig": {"functionCallingConfig": {"mode": "ANY"}}}, "Function calling config is set without"),
        ({"tools": [{"functionDeclarations": [{"name": "a b"}]}]}, "Invalid function name"),
        ({"contents": []}, "contents is not specified"),
        ({"contents": [{"role": "assistant", "parts": [{"text": "a"}]}]}, "contents[0].role"),
        ({"contents": [{"role": "user", "parts": []}]}, "contents[0].parts must not be empty"),
        ({"contents": [{"role": "user", "parts": [{"text": ""}]}]}, "contents[0]: a part must have exactly one"),
        ({"contents": [{"role": "user", "parts": [{"inlineData": {"data": "aGk="}}]}]}, "contents[0]: a file without"),
        ({"contents": [ASKS, CALLS]}, "Function call in the 1. content block is missing a thought_signature"),
        ({"contents": [ASKS, CALLS, ASKS]}, "the number of function response parts"),
        ({"contents": [ASKS, CALLS, {**TELLS, "parts": TELLS["parts"] * 2}]}, "the number of function response parts"),
        ({"contents": [ASKS, CALLS, {**TELLS, "parts": [*TELLS["parts"], *ASKS["parts"]]}]}, "a function response turn"),
        ({"contents": [ASKS, {**ASKS, "role": "model"}, CALLS, TELLS]}, "a function call turn comes immediately"),
        ({"contents": [ASKS, {**TELLS, "role": "model"}]}, "the number of function response parts"),
    ],
    ids=str,
)  # fmt: skip
def test_a_request_that_does_not_fit_is_refused(more: dict[str, Any], complaint: str) -> None:
    body = {**HELLO, **more}
    model = NEWER if "thought_signature" in complaint else MODEL
    assert misfits(model, json.dumps(body).encode())[0].startswith(complaint)


TEXT: Any = {"model": f"models/{MODEL}", "content": {"parts": [{"text": "a"}]}}


@pytest.mark.parametrize(
    ("method", "body", "complaint"),
    [
        (COUNT, {}, "one of contents and generateContentRequest"),
        (COUNT, {**HELLO, "generateContentRequest": {"model": "models/a", **HELLO}}, "one of contents and"),
        (COUNT, {"generateContentRequest": HELLO}, "generateContentRequest.model: Field required"),
        (COUNT, {"generateContentRequest": {"model": MODEL, **HELLO}}, f"generateContentRequest.model is '{MODEL}'"),
        (COUNT, {"contents": [ASKS, CALLS, ASKS]}, "the number of function response parts"),
        (EMBED, {"requests": []}, "at most 100 requests can be in one batch"),
        (EMBED, {"requests": [TEXT] * 101}, "at most 100 requests can be in one batch"),
        (EMBED, {"requests": [{**TEXT, "model": MODEL}]}, f"requests[0].model is '{MODEL}'"),
        (EMBED, {"requests": [{"content": TEXT["content"]}]}, "requests.0.model: Field required"),
        (EMBED, {"requests": [{**TEXT, "content": "a"}]}, "requests.0.content: "),
        (EMBED, {"requests": [{**TEXT, "content": {"parts": [{"text": ""}]}}]}, "requests[0].content contains an empty"),
        (EMBED, {"requests": [{**TEXT, "content": {"parts": []}}]}, "requests[0].content contains an empty"),
        (EMBED, {"requests": [{**TEXT, "outputDimensionality": 0}]}, "requests[0].output_dimensionality"),
        (EMBED, {"requests": [{**TEXT, "outputDimensionality": "5"}]}, ".requests.0.outputDimensionality: '5' is of"),
        (EMBED, {"requests": [{**TEXT, "output_dimensionality": 5}]}, ".requests.0.outputDimensionality: is not"),
        (EMBED, {"requests": [{**TEXT, "autoTruncate": True}]}, "requests.0.autoTruncate: Extra inputs"),
        (EMBED, {"requests": [{**TEXT, "title": "a"}]}, "requests[0].title is only for"),
    ],
    ids=str,
)  # fmt: skip
def test_a_count_or_a_batch_that_does_not_fit_is_refused(method: str, body: dict[str, Any], complaint: str) -> None:
    assert misfits(MODEL, json.dumps(body).encode(), method=method)[0].startswith(complaint)


@pytest.mark.parametrize(
    "more",
    [{}, TOOLS, {"generationConfig": {"candidateCount": 2}}, {"generationConfig": {"maxOutputTokens": 2}}],
    ids=str,
)
def test_a_streamed_answer_is_the_whole_one_in_pieces(more: dict[str, Any]) -> None:
    body = {**HELLO, **more}
    whole = answer(MODEL, body, 1)
    streamed = [json.loads(event) for event in events(MODEL, body, 1)]
    assert streamed[-1]["usageMetadata"] == whole["usageMetadata"]
    for candidate in whole["candidates"]:
        told = [one for event in streamed for one in event["candidates"] if one["index"] == candidate["index"]]
        parts = [part for one in told for part in one["content"]["parts"]]
        assert len(parts) > 1
        assert [part for part in parts if "functionCall" in part] == [
            p for p in candidate["content"]["parts"] if "functionCall" in p
        ]
        assert "".join(part.get("text", "") for part in parts) == "".join(
            p.get("text", "") for p in candidate["content"]["parts"]
        )
        assert [one.get("finishReason") for one in told] == [None] * (len(told) - 1) + [candidate["finishReason"]]


@pytest.mark.parametrize("dress", DRESSES)
def test_a_stream_is_the_same_in_every_dress(dress: str, client: genai.Client, vendor: GeminiVendor) -> None:
    vendor.now.dress = dress
    headers = {"x-goog-api-key": PROVIDER_KEY}
    url = f"{vendor.base_url}/v1beta/models/{MODEL}:streamGenerateContent?alt=sse"
    found = requests.post(url, json=HELLO, headers=headers, timeout=5).content
    lines = found.decode().replace("\r", "\n").split("\n")
    told = [json.loads(line.removeprefix("data:")) for line in lines if line.startswith("data:")]
    assert told == [json.loads(event) for event in events(MODEL, HELLO, 1)]


def test_a_signature_is_of_one_model_and_call() -> None:
    assert len({signature(model, name) for model in (MODEL, NEWER) for name in ("a", "b")}) == 4
