"""GET /openapi.json tells the truth: about every route, what it takes, and all that it answers."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator
from werkzeug.test import TestResponse

from gateway import __version__, errors
from gateway.api import openapi
from gateway.schemas.inference import InferenceAnswerSchema
from tests.conftest import KEY
from tests.fakes.upstream import Upstream, answers

MakeApp = Callable[..., Flask]
ASK = {"prompt": "Hello", "user_id": "u-1"}


@pytest.fixture
def document(client: FlaskClient) -> dict[str, Any]:
    found: dict[str, Any] = client.get("/openapi.json").json or {}
    return found


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


def validator(document: dict[str, Any], media: dict[str, Any]) -> Draft202012Validator:
    return Draft202012Validator({**media["schema"], "components": document["components"]})


def check(response: TestResponse, document: dict[str, Any], path: str, method: str = "get") -> dict[str, Any]:
    """That the document foresees this response; returns its description there."""
    described: dict[str, Any] = document["paths"][path][method]["responses"][str(response.status_code)]
    validator(document, described["content"][response.mimetype]).validate(response.json)
    own = {name.lower() for name, _ in response.headers if name.lower().startswith(("x-", "retry-"))}
    assert own - {"x-content-type-options"} <= {name.lower() for name in described["headers"]}
    for name, reference in described["headers"].items():
        if name in response.headers:
            schema = document["components"]["headers"][reference["$ref"].rsplit("/")[-1]]["schema"]
            {"string": str, "integer": int, "number": float, "boolean": json.loads}[schema["type"]](
                response.headers[name]
            )
    return described


def post(client: FlaskClient, body: Any = None, **headers: str) -> TestResponse:
    return client.post("/inference", json=ASK if body is None else body, headers={"x-api-key": KEY, **headers})


def test_the_document_is_valid_openapi_3_1_of_this_version(document: dict[str, Any]) -> None:
    assert [error.message for error in OpenAPIV31SpecValidator(document).iter_errors()] == []
    assert (document["openapi"], document["info"]["version"]) == ("3.1.0", __version__)


def test_every_route_is_described_and_no_other(make_app: MakeApp, document: dict[str, Any]) -> None:
    routes = {
        (method, re.sub(r"<(?:path:)?(\w+)>", r"{\1}", rule.rule))
        for rule in make_app().url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    assert {(method, path) for method, path, _ in operations(document)} == routes


def test_a_route_that_nobody_described_is_told_at_once(make_app: MakeApp) -> None:
    app = make_app()
    app.add_url_rule("/new", "new", lambda: "")
    with pytest.raises(LookupError, match="new is not described"):
        openapi.document(app)


def test_the_described_security_is_that_of_the_guard(make_app: MakeApp, document: dict[str, Any]) -> None:
    client = make_app(METRICS_TOKEN="metrics-token-1").test_client()
    for method, path, operation in operations(document):
        security = operation.get("security", document["security"])
        assert (client.open(path, method=method).status_code == 401) == bool(security), path
        assert ("401" in operation["responses"]) == bool(security), path
    assert {} in document["paths"]["/metrics"]["get"]["security"], "it may be open"


@pytest.mark.parametrize("scheme", ["apiKey", "bearer"])
def test_each_described_credential_gets_in(scheme: str, client: FlaskClient, document: dict[str, Any]) -> None:
    assert {scheme: []} in document["security"]
    described = document["components"]["securitySchemes"][scheme]
    headers = {"Authorization": f"Bearer {KEY}"} if described["type"] == "http" else {described["name"]: KEY}
    assert client.post("/inference", json=ASK, headers=headers).status_code == 200


def test_each_example_is_sound_and_one_for_a_request_is_answered(client: FlaskClient, document: dict[str, Any]) -> None:
    asked = 0
    for method, path, operation in operations(document):
        contents = [response.get("content", {}) for response in operation["responses"].values()]
        for media in [media for content in contents for media in content.values() if "example" in media]:
            validator(document, media).validate(media["example"])
        if "requestBody" in operation:
            body = operation["requestBody"]["content"]["application/json"]["example"]
            response = client.open(path, method=method, json=body, headers={"x-api-key": KEY})
            assert response.status_code == 200
            asked += 1
    assert asked


def test_an_answer_is_as_described_field_for_field_in_the_same_order(
    client: FlaskClient, document: dict[str, Any]
) -> None:
    response = post(client)
    check(response, document, "/inference", "post")
    described = document["components"]["schemas"]["InferenceAnswer"]
    assert response.json is not None
    assert list(response.json) == list(described["properties"]) == list(InferenceAnswerSchema.example)
    assert set(described["required"]) == set(response.json)


def test_an_answer_without_a_price_is_as_described(
    make_app: MakeApp, upstream: Upstream, document: dict[str, Any]
) -> None:
    response = post(make_app(OPENAI_BASE_URL=upstream.base_url, MODEL_NAME="openai/our-own").test_client())
    assert b'"estimated_cost_usd":null' in response.data
    check(response, document, "/inference", "post")


@pytest.mark.parametrize("path", ["/", "/health", "/health/live", "/health/ready", "/openapi.json"])
def test_what_is_open_to_anyone_answers_as_described(path: str, client: FlaskClient, document: dict[str, Any]) -> None:
    check(client.get(path), document, path)


@pytest.mark.parametrize(
    "change",
    [
        {}, {"model": None}, {"model": "offline/echo"}, {"system": None}, {"system": ""}, {"max_tokens": 1},
        {"max_tokens": 2**31 - 1}, {"max_tokens": None}, {"temperature": 0}, {"temperature": 2}, {"temperature": 0.5},
        {"stream": False}, {"user_id": "x" * 256}, {"prompt": " x"},
        {"prompt": None}, {"prompt": ""}, {"prompt": " \n"}, {"prompt": 7}, {"user_id": ""}, {"user_id": "x" * 257},
        {"user_id": 7}, {"model": ""}, {"model": 1}, {"max_tokens": 0}, {"max_tokens": 1.5}, {"max_tokens": "10"},
        {"max_tokens": True}, {"max_tokens": 2**31}, {"temperature": 2.1}, {"temperature": -0.1}, {"temperature": "1"},
        {"temperature": False}, {"stream": True}, {"stream": None}, {"stream": 0}, {"system": 1}, {"extra": 1},
    ],
    ids=str,
)  # fmt: skip
def test_the_service_takes_what_the_described_schema_allows_and_nothing_else(
    change: dict[str, Any], client: FlaskClient, document: dict[str, Any]
) -> None:
    body = {**ASK, **change}
    media = document["paths"]["/inference"]["post"]["requestBody"]["content"]["application/json"]
    assert post(client, body).status_code == (200 if validator(document, media).is_valid(body) else 422)


@pytest.mark.parametrize(("value", "status"), [(0, 400), (1, 504), (999_999_999, 200), (1_000_000_000, 400)])
def test_the_timeout_may_be_as_described(
    value: int, status: int, client: FlaskClient, document: dict[str, Any]
) -> None:
    schema = document["components"]["parameters"]["x-gateway-timeout-ms"]["schema"]
    response = post(client, {**ASK, "model": "offline/echo?latency_ms=50"}, **{"x-gateway-timeout-ms": str(value)})
    assert response.status_code == status
    assert (status != 400) == Draft202012Validator(schema).is_valid(value)


@pytest.mark.parametrize(
    ("status", "code", "sent"),
    [
        (400, "invalid_json", {"data": b"{", "content_type": "application/json"}),
        (400, "json_too_deep", {"data": b'{"a":' * 40, "content_type": "application/json"}),
        (401, "invalid_api_key", {"json": ASK, "headers": {"x-api-key": "wrong"}}),
        (404, "model_not_found", {"json": {**ASK, "model": "nope/x"}}),
        (413, "request_too_large", {"json": {**ASK, "prompt": "x" * 2000}}),
        (415, "unsupported_media_type", {"data": b"{}", "content_type": "text/plain"}),
        (422, "missing_required_parameter", {"json": {}}),
        (422, "unknown_parameter", {"json": {**ASK, "extra": 1}}),
        (502, "upstream_error", {"json": {**ASK, "model": "offline/echo?fail=503"}}),
        (504, "upstream_timeout", {"json": {**ASK, "model": "offline/echo?fail=timeout"}}),
    ],
)
def test_every_failure_has_its_status_its_code_and_its_shape_described(
    status: int, code: str, sent: dict[str, Any], make_app: MakeApp, document: dict[str, Any]
) -> None:
    client = make_app(MAX_BODY_BYTES="2000").test_client()
    response = client.post("/inference", **{"headers": {"x-api-key": KEY, "x-gateway-timeout-ms": "500"}, **sent})
    assert response.status_code == status
    assert response.json is not None
    assert response.json["error"]["code"] == code
    assert f"`{code}`" in check(response, document, "/inference", "post")["description"]


def test_whatever_a_provider_says_against_a_request_is_described(
    make_app: MakeApp, upstream: Upstream, document: dict[str, Any]
) -> None:
    client = make_app(OPENAI_BASE_URL=upstream.base_url, MODEL_NAME="gpt-4o").test_client()
    for status in range(400, 500):
        for body in ({"detail": "a shape of its own"}, [{"error": {}}], b"no JSON"):
            upstream.script = answers(body, status, {"retry-after": "1"})
            check(post(client), document, "/inference", "post")


def test_every_error_of_the_tree_is_described_somewhere(document: dict[str, Any]) -> None:
    told = str(document)
    tree = [error for error in vars(errors).values() if isinstance(error, type) and issubclass(error, Exception)]
    codes = {code for error in tree for code in (error.code, *error.other_codes)}
    assert {code for code in codes if f"`{code}`" not in told} == {
        errors.MethodNotAllowed.code,  # of no route: it has no such method
        errors.NoWebSockets.code,  # likewise
        *(error.code for error in tree if issubclass(error, errors.InvalidHttp)),  # of no route: it is no request
        errors.ClientLeft.code,  # nobody is told
        errors.CutOff.code,  # likewise
    }


def test_the_document_is_made_once_and_only_when_it_is_asked_for(
    make_app: MakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[float] = []
    real = openapi.document
    monkeypatch.setattr(openapi, "document", lambda app: made.append(time.monotonic()) or real(app))
    client = make_app().test_client()
    assert made == []
    assert client.get("/openapi.json").data == client.get("/openapi.json").data
    assert len(made) == 1
