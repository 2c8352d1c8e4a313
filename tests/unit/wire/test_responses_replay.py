"""A vendor's own response, kept or not streamed, is told as the stream that would have ended with it."""

from __future__ import annotations

from typing import Any

import pytest
from openai import omit
from openai.lib.streaming.responses._responses import ResponseStreamState
from openai.types.responses import Response

from gateway.wire.responses_answers import to_chat
from gateway.wire.responses_events import FromChat
from gateway.wire.responses_replay import events
from gateway.wire.responses_transcript import ResponseTranscript
from tests.fakes import responses_answers as fake
from tests.unit.wire.test_responses import EVENT, NOTHING, folded, without_ends
from tests.unit.wire.test_responses_transcript import ASKED

CITED = {"type": "url_citation", "start_index": 1, "end_index": 2, "title": "A", "url": "https://a.test"}
RICH = [
    {"id": "rs_1", "type": "reasoning", "encrypted_content": "gAAAAAB=", "status": "completed", "summary": [
        {"type": "summary_text", "text": "One"}, {"type": "summary_text", "text": "Two"}],
     "content": [{"type": "reasoning_text", "text": "Raw"}]},
    {"id": "ws_1", "type": "web_search_call", "status": "completed", "action": {"type": "search", "query": "A"}},
    {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed", "phase": "commentary", "content": [
        {"type": "output_text", "text": "Yo 🙂", "annotations": [CITED], "logprobs": []},
        {"type": "output_text", "text": "Bye", "annotations": [CITED], "logprobs": []},
        {"type": "refusal", "refusal": "No"}]},
    {"id": "fc_1", "type": "function_call", "status": "completed", "call_id": "a", "name": "f", "arguments": ""},
]  # fmt: skip
WHOLES = [*(fake.answer(body, 1) for body in ASKED), fake.answer(ASKED[0], 1) | {"output": RICH}]


@pytest.mark.parametrize("whole", WHOLES)
def test_the_sdk_comes_to_the_same_response(whole: dict[str, Any]) -> None:
    told = list(events(whole))
    assert [event["sequence_number"] for event in told] == list(range(len(told)))
    assert all(EVENT.validate_python(event).type == event["type"] for event in told)
    assert without_ends(folded(told)) == without_ends(whole["output"])
    assert [event["item"] for event in told if event["type"] == "response.output_item.done"] == whole["output"]
    assert told[-1]["response"] == whole
    state: Any = ResponseStreamState(input_tools=omit, text_format=omit)
    for event in told:
        state.handle_event(EVENT.validate_python(event))
    if whole["status"] == "completed":
        assert state._completed_response.output_text == Response.model_validate(whole).output_text


@pytest.mark.parametrize("body", ASKED, ids=str)
def test_a_transcript_takes_it_for_the_vendors_own(body: dict[str, Any]) -> None:
    transcript = ResponseTranscript()
    for event in events(fake.answer(body, 1)):
        transcript.add(event)
    assert transcript.completion().finish_reasons[0] is not None
    assert len(transcript.completion().generated) == transcript.generated


def test_an_answer_that_failed_ends_as_one() -> None:
    assert [event["type"] for event in events(WHOLES[0] | {"status": "failed", "output": []})][-1] == "response.failed"


def test_citations_become_a_chats_and_come_back() -> None:
    chat = to_chat(WHOLES[-1], 0)
    message = chat["choices"][0]["message"]
    assert [cited["url_citation"]["start_index"] for cited in message["annotations"]] == [1, 5]
    made = FromChat({})
    list(
        made.events(
            {"choices": [{"index": 0, "delta": {"content": "Yo 🙂Bye", "annotations": message["annotations"]}}]}
        )
    )
    *_, last = made.end(NOTHING)
    told = last["response"]["output"][0]["content"][0]["annotations"]
    assert told == [CITED, CITED | {"start_index": 5, "end_index": 6}]
