"""LangChain and LlamaIndex, which stand on OpenAI's SDK: through the gateway they give what they give directly."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from llama_index.core.llms import ChatMessage
from llama_index.core.tools import FunctionTool
from llama_index.embeddings.openai import OpenAIEmbedding
from llama_index.llms.openai import OpenAI
from pydantic import BaseModel

from tests.conftest import KEY
from tests.fakes.openai_vendor import PROVIDER_KEY, OpenAIVendor
from tests.service.clients.conftest import forwarded
from tests.service.conftest import Service

MODEL = "gpt-4o-mini"  # the libraries know what it can do; the gateway finds it without it being under `models:`
Ask = Callable[[str, str], Any]


class Town(BaseModel):
    """A town."""

    name: str
    people: int


@tool
def weather(town: str) -> str:
    """The weather in a town."""
    return f"sunny in {town}"


def clock(zone: str) -> str:
    """The time in a zone."""
    return f"noon in {zone}"


@pytest.fixture(autouse=True)
def no_tokenizer_is_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(address: str) -> bytes:
        raise AssertionError(f"would fetch {address}")

    monkeypatch.setattr("tiktoken.load.read_file", refuse)


@pytest.fixture
def same(service: Service, vendor: OpenAIVendor, vendors: tuple[OpenAIVendor, OpenAIVendor]) -> Callable[[Ask], Any]:
    """Asks with the address and the key of the vendor and of the gateway; both must see and be sent the same."""
    alone, behind = vendors

    def same(ask: Ask) -> Any:
        expected, got = ask(alone.base_url, PROVIDER_KEY), ask(f"{service.url}/v1", KEY)
        assert (alone.complaints, behind.complaints) == ([], [])
        assert got == expected
        assert [request.json for request in behind.received] == [
            forwarded(one, one.json["model"]) for one in alone.received
        ]
        return got

    return same


def langchain(url: str, key: str, **settings: Any) -> ChatOpenAI:
    return ChatOpenAI(model=MODEL, base_url=url, api_key=key, max_retries=0, temperature=0, **settings)


def message(answer: Any) -> dict[str, Any]:
    """A LangChain message but for its ids and its time."""
    fields = answer.model_dump(exclude={"id"})
    fields["response_metadata"].pop("id", None)
    return fields


def test_langchain_invokes(same: Callable[[Ask], Any]) -> None:
    answer = same(lambda url, key: message(langchain(url, key).invoke([("system", "Be kind"), ("human", "Wörld 🙂")])))
    assert "“Wörld 🙂”" in answer["content"]
    assert answer["usage_metadata"]["total_tokens"] > 0


@pytest.mark.parametrize("usage", [True, False])
def test_langchain_streams(same: Callable[[Ask], Any], usage: bool) -> None:
    chunks = same(lambda url, key: [message(one) for one in langchain(url, key, stream_usage=usage).stream("Hello")])
    assert len(chunks) > 5
    assert any(chunk["usage_metadata"] for chunk in chunks) is usage


def test_langchain_calls_tools_and_reads_on(same: Callable[[Ask], Any]) -> None:
    def ask(url: str, key: str) -> Any:
        model = langchain(url, key).bind_tools([weather])
        question = HumanMessage("How is the weather?")
        first = model.invoke([question])
        results: list[ToolMessage] = [weather.invoke(call) for call in first.tool_calls]
        return [message(first), message(model.invoke([question, first, *results]))]

    first, second = same(ask)
    assert [call["name"] for call in first["tool_calls"]] == ["weather", "weather"]
    assert "sunny in München ☕" in second["content"]


@pytest.mark.parametrize("method", ["json_schema", "function_calling"])
def test_langchain_gets_structured_output(same: Callable[[Ask], Any], method: Any) -> None:
    ask: Ask = lambda url, key: langchain(url, key).with_structured_output(Town, method=method).invoke("A town")  # noqa: E731
    assert same(ask) == Town(name="München ☕", people=42)


def test_langchain_embeds(same: Callable[[Ask], Any]) -> None:
    def ask(url: str, key: str) -> Any:
        model = OpenAIEmbeddings(
            model="text-embedding-3-small", base_url=url, api_key=key, max_retries=0, check_embedding_ctx_length=False
        )
        return [model.embed_query("Hello"), *model.embed_documents(["One", "Zwei 🙂"])]

    assert len({tuple(vector) for vector in same(ask)}) == 3


def llama(url: str, key: str) -> OpenAI:
    return OpenAI(model=MODEL, api_base=url, api_key=key, max_retries=0, reuse_client=True)


def test_llama_index_completes_and_chats(same: Callable[[Ask], Any]) -> None:
    def ask(url: str, key: str) -> Any:
        model = llama(url, key)
        return [
            model.complete("Wörld 🙂").text,
            model.chat([ChatMessage(role="user", content="Hello")]).message.content,
        ]

    assert ["“Wörld 🙂”" in text for text in same(ask)] == [True, False]


def test_llama_index_streams(same: Callable[[Ask], Any]) -> None:
    def ask(url: str, key: str) -> Any:
        chatted = [part.delta for part in llama(url, key).stream_chat([ChatMessage(role="user", content="Hello")])]
        return [chatted, [part.delta for part in llama(url, key).stream_complete("Hello")]]

    chatted, completed = same(ask)
    assert len(chatted) > 5
    assert "".join(filter(None, chatted)) == "".join(filter(None, completed))


def test_llama_index_calls_tools(same: Callable[[Ask], Any]) -> None:
    def ask(url: str, key: str) -> Any:
        model = llama(url, key)
        answer = model.chat_with_tools([FunctionTool.from_defaults(clock)], user_msg="What time is it?")
        return [(call.tool_name, call.tool_kwargs) for call in model.get_tool_calls_from_response(answer)]

    assert same(ask)[0] == ("clock", {"zone": "München ☕"})


def test_llama_index_gets_structured_output(same: Callable[[Ask], Any]) -> None:
    ask: Ask = lambda url, key: llama(url, key).as_structured_llm(Town).complete("A town").raw  # noqa: E731
    assert same(ask) == Town(name="München ☕", people=42)


def test_llama_index_embeds(same: Callable[[Ask], Any]) -> None:
    def ask(url: str, key: str) -> Any:
        model = OpenAIEmbedding(model="text-embedding-3-small", api_base=url, api_key=key, max_retries=0)
        return [model.get_text_embedding("Hello"), *model.get_text_embedding_batch(["One", "Zwei 🙂"])]

    assert len({tuple(vector) for vector in same(ask)}) == 3
