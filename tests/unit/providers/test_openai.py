"""An OpenAI-compatible vendor: what it is sent, and what every kind of answer becomes."""

from __future__ import annotations

import json
import time
import tracemalloc
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from gateway.config.secrets import Redactor
from gateway.config.settings import ProviderSettings, Secret, Timeouts
from gateway.config.vendors import VENDORS
from gateway.errors import AnswerTooLarge, CredentialRefused, ProviderRefused, UpstreamError, UpstreamTimeout
from gateway.model import Completion, ModelRequest, Usage
from gateway.providers.base import Call, Report
from gateway.providers.fitting import fitted
from gateway.providers.openai import OpenAIProvider
from tests.fakes.upstream import Upstream, answers, completion

USER = {"role": "user", "content": "Hi"}
ASKED = {"messages": [{"role": "system", "content": "Be brief."}, USER], "max_tokens": 50, "temperature": 0.5}
REQUEST = ModelRequest("chat", None, ASKED, "u-1")


def provider(upstream: Upstream, kind: str = "openai", total: float = 5) -> OpenAIProvider:
    settings = ProviderSettings(
        "up",
        kind,
        upstream.base_url,
        (Secret("sk-secret-1"),),
        timeouts=Timeouts(total=total),
        headers={"x-token": Secret("header-credential-1"), "x-team": Secret("platform")},
    )
    return OpenAIProvider(settings, Redactor(settings.secrets()))


def ask(upstream: Upstream, request: ModelRequest = REQUEST, model: str = "gpt-4o-mini", **kind: Any) -> Completion:
    asked = provider(upstream, **kind)
    fit, _ = fitted(request, asked, model, refuse_hints=False, lenient=False)
    return asked.complete(fit, model, Call("call-1", 2))


def test_the_vendor_is_sent_its_own_form_and_our_labels(upstream: Upstream) -> None:
    ask(upstream)
    request = upstream.received[0]
    assert request.json == {
        "model": "gpt-4o-mini",
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}],
        "max_tokens": 50,
        "temperature": 0.5,
    }
    assert request.headers["authorization"] == "Bearer sk-secret-1"
    assert (request.headers["x-request-id"], request.headers["x-gateway-attempt"]) == ("call-1", "2")


def test_what_the_client_left_out_is_left_out(upstream: Upstream) -> None:
    ask(upstream, ModelRequest("chat", None, {"messages": [USER]}, "u-1"))
    assert upstream.received[0].json.keys() == {"model", "messages"}


@pytest.mark.parametrize(
    ("kind", "model", "field"),
    [
        ("openai", "gpt-4o", "max_tokens"),
        ("openai", "gpt-5-mini", "max_completion_tokens"),
        ("openai", "o3-mini", "max_completion_tokens"),
        ("azure", "our-deployment", "max_completion_tokens"),
        ("mistral", "mistral-small-latest", "max_tokens"),
        ("groq", "openai/gpt-oss-20b", "max_tokens"),
    ],
)
def test_the_cap_has_the_name_that_the_model_takes(kind: str, model: str, field: str, upstream: Upstream) -> None:
    ask(upstream, model=model, kind=kind)
    assert {"max_tokens", "max_completion_tokens"} & upstream.received[0].json.keys() == {field}


def test_an_answer_comes_with_its_usage_reason_and_the_vendors_request_id(upstream: Upstream) -> None:
    usage = {"prompt_tokens": 20, "completion_tokens": 100, "prompt_tokens_details": {"cached_tokens": 5}}
    body = json.dumps(completion("Hello", usage=usage)).encode()
    upstream.script = answers(body, headers={"x-request-id": "req_up"})
    assert ask(upstream) == Completion(
        body,
        text="Hello",
        generated="Hello",
        finish_reasons=("stop",),
        usage=Usage(20, 100, cached_tokens=5),
        upstream_request_id="req_up",
    )


def test_the_vendors_whose_reasoning_stands_beside_are_marked() -> None:
    assert {name for name, vendor in VENDORS.items() if vendor.reasoning_beside} == {"xai", "perplexity"}


@pytest.mark.parametrize("status", [400, 404, 409, 413, 415, 422])
def test_a_4xx_about_the_request_comes_back_byte_for_byte(status: int, upstream: Upstream) -> None:
    body = b'{"error":  {"message": "no\\u00e9", "code": "context_length_exceeded"}}'
    upstream.script = answers(body, status)
    with pytest.raises(ProviderRefused) as caught:
        ask(upstream)
    assert (caught.value.status, caught.value.body) == (status, body)


@pytest.mark.parametrize("status", [301, 401, 402, 403, 429, 500, 501, 503, 529])
def test_any_other_failure_is_an_upstream_error_without_the_vendors_text(status: int, upstream: Upstream) -> None:
    upstream.script = answers({"error": {"message": "org-123 is over quota"}}, status, {"retry-after": "7"})
    with pytest.raises(UpstreamError) as caught:
        ask(upstream)
    assert caught.value.retryable
    assert "org-123" not in caught.value.message
    assert caught.value.retry_after == (None if status in (401, 403) else 7)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("9999", 60),
        ("0", 1),
        ("-1", None),
        ("abc", None),
        pytest.param(format_datetime(datetime.now(UTC) + timedelta(days=1)), 60, id="tomorrow"),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 1),
        ("Wed, 41 Oct 2015", None),
    ],
)
def test_a_wild_retry_after_is_bounded_or_dropped(header: str, seconds: int | None, upstream: Upstream) -> None:
    upstream.script = answers({}, 429, {"retry-after": header})
    with pytest.raises(UpstreamError) as caught:
        ask(upstream)
    assert caught.value.retry_after == seconds


@pytest.mark.parametrize("key", ["sk-secret-1", "sk-\\u0073ecret-1", "c2stc2VjcmV0LTE=", "header-credential-1"])
def test_an_error_text_that_holds_our_credential_is_not_handed_on(key: str, upstream: Upstream) -> None:
    upstream.script = answers(b'{"error": {"message": "bad key %s"}}' % key.encode(), 400)
    with pytest.raises(UpstreamError) as caught:
        ask(upstream)
    assert "sk-secret-1" not in caught.value.message


@pytest.mark.parametrize(
    ("error", "code"),
    [
        ({"message": "the prompt was: my secret", "code": "slow_down"}, "slow_down"),
        ({"message": "my secret", "code": 400, "type": "exceed_context_size_error"}, "exceed_context_size_error"),
        ({"message": "my secret", "code": None}, "no error code"),
        ({"code": "x" * 90 + "sk-secret-1"}, "no error code"),
        ("my secret", "no error code"),
    ],
)
def test_the_operator_reads_the_vendors_error_code_and_not_its_text(error: Any, code: str, upstream: Upstream) -> None:
    upstream.script = answers({"error": error}, 429)
    with pytest.raises(UpstreamError) as caught:
        ask(upstream)
    assert caught.value.detail == f"status 429, {code}"


@pytest.mark.parametrize(
    "body",
    [
        b"", b"<html>", b"{", b"[]", b"null", b"{}", b'{"error": {"message": "x"}}', b'{"choices": []}',
        b'{"choices": [{"message": null}]}', b'{"choices": [{"message": {"content": 7}}]}', b'{"choices": {"a": 1}}',
        b'{"choices": [{"message": {"content": [7]}}]}', b'{"choices": "x"}', b"\xff\xfe",
    ],
)  # fmt: skip
def test_an_answer_that_cannot_be_understood_is_an_upstream_error(body: bytes, upstream: Upstream) -> None:
    upstream.script = answers(body)
    with pytest.raises(UpstreamError):
        ask(upstream)


def test_the_clients_deadline_shortens_the_providers(upstream: Upstream) -> None:
    upstream.script = lambda connection, request: bool(time.sleep(3))
    started = time.monotonic()
    with pytest.raises(UpstreamTimeout):
        provider(upstream).complete(REQUEST, "m", Call("c", 1, deadline=time.monotonic() + 0.2))
    with pytest.raises(UpstreamTimeout):
        provider(upstream, total=0.2).complete(REQUEST, "m", Call("c", 1, deadline=time.monotonic() + 9))
    assert time.monotonic() - started < 1.5


def test_a_label_in_a_header_is_no_credential(upstream: Upstream) -> None:
    upstream.script = answers({"error": {"message": "see https://platform.openai.com"}}, 400)
    with pytest.raises(ProviderRefused):
        ask(upstream)


@pytest.mark.parametrize(
    "body",
    [
        b'{"error": "sk-secret-1", "error": "x"}',
        b'{"error": ' + b"[" * 500 + b"]" * 500 + b"}",
    ],
    ids=["in a name given twice", "too deep to look into"],
)
def test_a_refusal_that_cannot_be_vouched_for_is_not_handed_on(body: bytes, upstream: Upstream) -> None:
    upstream.script = answers(body, 400)
    with pytest.raises(UpstreamError):
        ask(upstream)


@pytest.mark.parametrize(
    "body",
    [b"", b"Failed to deserialize", b"<html>", b'"text"', b"\xff", b'{"error": "' + b"x" * 2_000_000 + b'"}'],
    ids=["empty", "text", "HTML", "a string", "no UTF-8", "too large"],
)
def test_of_a_refusal_that_cannot_be_handed_on_the_status_is(body: bytes, upstream: Upstream) -> None:
    upstream.script = answers(body, 422)
    with pytest.raises(ProviderRefused) as caught:
        ask(upstream)
    assert (caught.value.status, caught.value.body) == (422, None)


def test_where_nothing_is_at_a_path_the_address_is_wrong_and_not_the_request(upstream: Upstream) -> None:
    upstream.script = answers(b"<html>", 404)
    with pytest.raises(UpstreamError):
        ask(upstream)


@pytest.mark.parametrize("body", [b'{"error":  {"message": "no"}}', b'[{"error":  {"code": 400}}]'])
def test_a_refusal_comes_back_byte_for_byte(body: bytes, upstream: Upstream) -> None:
    upstream.script = answers(body, 400, {"x-request-id": "up-1"})
    with pytest.raises(ProviderRefused) as caught:
        ask(upstream)
    assert (caught.value.body, caught.value.upstream_request_id) == (body, "up-1")


def test_a_refused_credential_is_for_the_operator_to_mend_and_not_to_be_tried_again(upstream: Upstream) -> None:
    upstream.script = answers({"error": {}}, 401)
    with pytest.raises(CredentialRefused) as caught:
        ask(upstream)
    assert caught.value.client_may_retry is False


@pytest.mark.parametrize("parts", [b"[],", b"{},", b"1,"])
def test_an_answer_of_millions_of_parts_is_not_built(parts: bytes, upstream: Upstream) -> None:
    upstream.script = answers(b'{"choices": [' + parts * 5_000_000 + b"0]}")
    tracemalloc.start()
    with pytest.raises(AnswerTooLarge):
        ask(upstream)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 64_000_000


def test_a_hostile_request_id_of_the_vendor_is_dropped(upstream: Upstream) -> None:
    upstream.script = answers(completion("x"), headers={"x-request-id": "a b\x7f", "request-id": "fine-1"})
    assert ask(upstream).upstream_request_id == "fine-1"
    upstream.script = answers(completion("x"), headers={"x-request-id": "sk-secret-1"})
    assert ask(upstream).upstream_request_id is None


def test_a_finish_reason_of_a_megabyte_is_none(upstream: Upstream) -> None:
    choice = {"message": {"content": "x"}, "finish_reason": "x" * 1_000_000}
    upstream.script = answers(completion("x", choices=[choice]))
    assert ask(upstream).finish_reasons == (None,)


@pytest.mark.parametrize(
    ("status", "body", "report"),
    [
        (200, {"object": "list", "data": [{"id": "a"}, {"id": "b"}]}, Report("answers", frozenset({"a", "b"}))),
        (200, [{"id": "a"}], Report("answers", frozenset({"a"}))),
        (200, {"data": "?"}, Report("answers")),
        (404, {}, Report("answers, but has no list of models; if calls fail too, its base_url may lack '/v1'")),
    ],
)
def test_the_check_tells_what_the_provider_answers_and_lists(
    status: int, body: Any, report: Report, upstream: Upstream
) -> None:
    upstream.script = answers(body, status)
    assert provider(upstream).check(["a"]) == report
    assert (upstream.received[0].method, upstream.received[0].path) == ("GET", "/v1/models")


def test_the_check_fails_where_the_credential_is_refused(upstream: Upstream) -> None:
    upstream.script = answers({}, 401)
    with pytest.raises(UpstreamError, match="refused the gateway's own credential"):
        provider(upstream).check([])
