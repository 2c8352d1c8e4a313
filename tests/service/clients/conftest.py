"""A gateway in front of a fake OpenAI, and the same fake without one: clients must not see which they talk to."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from openai import OpenAI

from tests.conftest import KEY
from tests.fakes.openai_vendor import PROVIDER_KEY, OpenAIVendor, Received
from tests.service.conftest import Service

MODELS = {"fast": "gpt-4o-mini", "instruct": "gpt-3.5-turbo-instruct", "embed": "text-embedding-3-small"}
LARGEST_BODY = 200_000
# Each test is about its own calls: none is tried again, and none leaves its target alone for the next.
YAML = """
retry: {{attempts: 1}}
breaker: {{failures: 1000000}}
providers:
  openai: {{kind: openai, base_url: {url}, api_key: {key}}}
  hurried: {{kind: openai, base_url: {url}, api_key: {key}, timeouts: {{total: 1}}}}
models:
  fast:
    targets: [{{provider: openai, model: gpt-4o-mini}}]
    price: {{input: 0.10, cached_input: 0.05, output: 0.40}}
  instruct: {{targets: [{{provider: openai, model: gpt-3.5-turbo-instruct}}]}}
  embed: {{targets: [{{provider: openai, model: text-embedding-3-small}}]}}
  hurried: {{targets: [{{provider: hurried, model: gpt-4o-mini}}]}}
"""


def plain(answer: Any) -> Any:
    """What the SDK made of an answer, without what names this one answer."""
    if isinstance(answer, list):
        return [plain(part) for part in answer]
    if hasattr(answer, "model_dump"):
        return {
            name: value for name, value in answer.model_dump(warnings=False).items() if name not in ("id", "created")
        }
    return answer


def forwarded(request: Received, model: str) -> Any:
    """What the gateway makes of a body: the vendor's name of the model, and usage of every stream."""
    body = request.json
    body["model"] = model
    if body.get("stream"):
        body["stream_options"] = {**(body.get("stream_options") or {}), "include_usage": True}
    return body


def text(raw: Any) -> str:
    """The whole body of a raw response, of a stream too."""
    return str(raw.http_response.read().decode())


@dataclass
class Pair:
    """The official SDK twice: against the vendor itself, and through the gateway."""

    direct: OpenAI
    gateway: OpenAI
    alone: OpenAIVendor
    behind: OpenAIVendor

    def same(self, ask: Callable[[OpenAI, str], Any], model: str = "fast") -> Any:
        """Ask both, compare what the client gets and what the vendor is sent, and return the gateway's answer."""
        expected = ask(self.direct, MODELS[model])
        got = ask(self.gateway, model)
        assert (self.alone.complaints, self.behind.complaints) == ([], [])
        assert plain(got) == plain(expected)
        assert [forwarded(request, MODELS[model]) for request in self.alone.received] == [
            request.json for request in self.behind.received
        ]
        assert [request.path for request in self.alone.received] == [request.path for request in self.behind.received]
        return got

    def allow(self, *fields: str) -> None:
        """Let the vendor take fields that OpenAI's schema has not."""
        self.alone.now.allow = self.behind.now.allow = frozenset(fields)


@pytest.fixture(scope="module")
def vendors() -> Iterator[tuple[OpenAIVendor, OpenAIVendor]]:
    with OpenAIVendor(behind_gateway=False) as alone, OpenAIVendor(secret=KEY) as behind:
        yield alone, behind


@pytest.fixture(scope="module", params=["gevent", "gthread"])
def service(
    request: pytest.FixtureRequest,
    vendors: tuple[OpenAIVendor, OpenAIVendor],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Service]:
    """One gateway of two workers for all tests of a file, once of every kind."""
    directory = tmp_path_factory.mktemp("gateway")
    yaml = YAML.format(url=json.dumps(vendors[1].base_url), key=json.dumps(PROVIDER_KEY))
    (directory / "gateway.yaml").write_text(yaml)
    variables = {"MODEL_NAME": "fast", "MAX_BODY_BYTES": str(LARGEST_BODY)}
    service = Service(directory, request.param, variables)
    try:
        yield service.wait_until_ready()
    finally:
        service.stop()


@pytest.fixture
def vendor(vendors: tuple[OpenAIVendor, OpenAIVendor]) -> OpenAIVendor:
    """The vendor behind the gateway, with nothing of earlier tests."""
    for one in vendors:
        one.reset()
    return vendors[1]


@pytest.fixture
def client(service: Service, vendor: OpenAIVendor) -> Iterator[OpenAI]:
    """The official SDK as a user of the gateway sets it up, but that it does not try again."""
    with OpenAI(base_url=f"{service.url}/v1", api_key=KEY, max_retries=0, timeout=20) as client:
        yield client


@pytest.fixture
def pair(client: OpenAI, vendor: OpenAIVendor, vendors: tuple[OpenAIVendor, OpenAIVendor]) -> Iterator[Pair]:
    alone, behind = vendors
    with OpenAI(base_url=alone.base_url, api_key=PROVIDER_KEY, max_retries=0, timeout=20) as direct:
        yield Pair(direct, client, alone, behind)
