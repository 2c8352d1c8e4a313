"""What both dialects know survives the way from one to the other and back."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from gateway.wire import anthropic_answers, anthropic_requests
from gateway.wire.anthropic_from_chat import from_chat
from tests.unit.wire.anthropic_messages import INPUT, NAME, TEXT, messages, plain, thought, through_chat, usage_of

MARK = st.sampled_from([{}, {"cache_control": {"type": "ephemeral"}}])


def marked(block: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    return st.builds(lambda block, mark: {**block, **mark}, block, MARK)


text = marked(plain)
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


@given(messages())
def test_a_message_comes_back_as_it_was(message: dict[str, Any]) -> None:
    chat = anthropic_answers.to_chat(message, 1)
    assert anthropic_answers.from_chat(chat, usage_of(message)) == through_chat(message)
