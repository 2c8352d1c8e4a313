"""What the spine may expect of any provider, and what every provider does alike."""

from __future__ import annotations

import math
import re
import socket
import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple, Protocol

import orjson

from gateway.errors import (
    CredentialForbidden,
    CredentialRefused,
    GatewayError,
    ProviderBusy,
    ProviderFailed,
    ProviderRefused,
    QuotaSpent,
    UpstreamError,
    UpstreamTimeout,
)
from gateway.model import Completion, Dialect, ModelRequest, Operation
from gateway.wire.fields import ApiName

LONGEST_RETRY_AFTER = 60  # seconds of a provider's Retry-After that are handed on
_CODE = re.compile(r"[A-Za-z0-9_.:-]{1,64}")  # a sentence would be text that quotes the prompt
# In the code or type of a 429 that no waiting helps against; or, of one that has neither, in OpenAI's sentence.
_SPENT = re.compile("insufficient|billing|balance|credit|spend|quota", re.IGNORECASE)
_SPENT_SENTENCE = "exceeded your current quota"
_SPENT_QUOTA = "PerDay"  # in the name of a quota of Google's; its sentence is the same for one of a minute
_WRONG_KEY = "API_KEY_INVALID"  # what Google gives as the reason of a 400
_DELAY = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)s")
TICK = 2.5  # seconds without an event after which a stream says so


class Call(NamedTuple):
    """One upstream attempt.

    Attributes:
        id: ours, and unique; the client's request id is only a label.
        attempt: 1 for the first attempt of a request.
        deadline: monotonic seconds at which the client stops waiting, or None.
        client: the client's connection, watched while a provider is silent; None where there is none.
        cap: the most tokens that a choice of the answer may take, whatever the request says; None leaves it as asked.
        key: which of the provider's credentials to show.
    """

    id: str
    attempt: int
    deadline: float | None = None
    client: socket.socket | None = None
    cap: int | None = None
    key: int = 0

    @property
    def expired(self) -> bool:
        return self.deadline is not None and time.monotonic() >= self.deadline


class Translation(NamedTuple):
    """A request in the words of a provider's API.

    Attributes:
        document: all of it but for how the answer is delivered, which costs no more or less.
        unused: names of hints that this model has no use for, or not beside the rest.
    """

    document: Mapping[str, Any]
    unused: frozenset[str] = frozenset()


class Provider(Protocol):
    """A configured provider.

    Attributes:
        name: in the configuration.
        api: that it speaks: a column of the table in docs/translation.md.
        dialects: those that it takes and answers as they are; of every other one it gets requests in OpenAI's chat, and
            answers in that.
        operations: what may be asked of it.
    """

    name: str
    api: ApiName
    dialects: frozenset[Dialect]
    operations: frozenset[Operation]

    def check(self, models: Collection[str]) -> Report:
        """Ask the provider whether it is there; `models` are those that the configuration names.

        Raises:
            GatewayError: it is not there, or does not accept the gateway.
        """
        ...

    def translate(self, request: ModelRequest, model: str) -> Translation:
        """A request that came in another dialect, in the words of the provider's API.

        Raises:
            Untranslatable: it has nothing like a part of it.
            KeyError, TypeError, AttributeError, ValueError: a part of it cannot be read.
        """
        ...

    def complete(self, request: ModelRequest, model: str, call: Call) -> Completion:
        """Get a whole answer to `request`, which `fitting.fitted` has seen, from the provider's `model`.

        Raises:
            ProviderRefused: the provider answered 4xx about the request itself.
            UpstreamError: it could not be reached, failed, or said what cannot be understood.
            UpstreamTimeout: it did not answer in time.
            ClientLeft: nobody waits for the answer any more.
        """
        ...

    def stream(self, request: ModelRequest, model: str, call: Call) -> Stream:
        """Get the answer as it is made; returns, or raises as `complete` does, with the first event."""
        ...

    def count_tokens(self, request: ModelRequest, model: str, call: Call) -> int | None:
        """Ask how many tokens the prompt has, which is free of charge; None where its API does not say. Raises what
        `complete` does."""
        ...


class Stream(Protocol):
    """An answer under way.

    Attributes:
        upstream_request_id: the provider's own id of the call, if it gave one.
        dialect: of its events.
    """

    upstream_request_id: str | None
    dialect: Dialect

    def blocks(self) -> Iterator[bytes]:
        """Yield whole events as they come, usage included and OpenAI's last `[DONE]` left out; b"" where there is none
        yet, at least every TICK. It ends where the answer is whole.

        Raises:
            UpstreamError: it broke off.
            UpstreamTimeout: a deadline passed.
            ClientLeft: nobody waits for the answer any more.
        """
        ...

    def leave(self) -> None:
        """Stop: nobody waits for the rest, which is read to its end where the operator wants it so."""
        ...

    def completion(self) -> Completion:
        """What came of the answer so far."""
        ...


@dataclass(frozen=True, slots=True)
class Report:
    """What asking a provider brought.

    Attributes:
        text: how it answered, in a few words.
        models: the models that it lists, or None where it does not say.
    """

    text: str
    models: frozenset[str] | None = None


def failure(provider: str, status: int, body: bytes, retry_after: str | None = None) -> GatewayError:
    """The error that a provider's answer other than 2xx means.

    Args:
        provider: its name, for the message.
        status: the answer's status.
        body: the answer's body; handed to the client only where it is JSON about the request itself.
        retry_after: the answer's Retry-After header; Google says it in the body.
    """
    error = _error(body)
    if status == 400 and _WRONG_KEY in _in_details(error, "reason"):
        status = 401
    if status in ProviderRefused.statuses:
        if _is_json(body):
            return ProviderRefused(status, body)
        if status != 404:  # where nothing is at a path, it is the operator's base_url that is wrong
            return ProviderRefused(status)
    detail = f"status {status}, {_code(error) or 'no error code'}"
    if status in (401, 403):
        kind = CredentialRefused if status == 401 else CredentialForbidden
        return kind(f"The provider {provider!r} refused the gateway's own credential.", detail=detail)
    if status == 408:
        return UpstreamTimeout(f"The provider {provider!r} gave up waiting.", detail=detail)
    message = f"The provider {provider!r} answered {status}."
    seconds = _delay(error) if retry_after is None else _seconds(retry_after)
    if status == 402 or (status == 429 and _is_spent(error)):
        return QuotaSpent(message, retry_after=seconds, detail=detail)
    if status == 429:
        return ProviderBusy(message, retry_after=seconds, detail=detail)
    return ProviderFailed(message, transient=status >= 500, retry_after=seconds, detail=detail)


def _is_json(body: bytes) -> bool:
    """Whether the body is an object, or as Gemini's errors a list of them."""
    try:
        return isinstance(orjson.loads(body), dict | list)
    except orjson.JSONDecodeError:
        return False


def no_answer(provider: str, body: bytes) -> UpstreamError:
    """The error that a success means which is no answer. One that says itself that it is an error, or is no JSON to
    begin with, as a proxy's page, was not generated by a model, and nobody bills it."""
    said = _error(body)
    if said or body.lstrip()[:1] not in (b"{", b"["):
        detail = f"under a success, {_code(said) or 'no error code'}" if said else "a success without JSON"
        return ProviderFailed(f"The provider {provider!r} answered with an error.", detail=detail)
    return not_understood(provider, "no answer to such a request")


def not_understood(provider: str, detail: str) -> UpstreamError:
    """What came may be an answer that was bought, and is of no use."""
    return UpstreamError(f"The provider {provider!r} sent an answer that cannot be understood.", detail=detail)


def error_code(body: bytes) -> str | None:
    """The error's code or type, for the operator's log; never its text, which may quote the prompt."""
    return _code(_error(body))


def _is_spent(error: Mapping[str, Any]) -> bool:
    """Whether a 429 is about money, which only the operator can mend, or a day's quota."""
    if any(_SPENT_QUOTA in quota for quota in _in_details(error, "quotaId")):
        return True
    if codes := _codes(error):
        return any(map(_SPENT.search, codes))
    return _SPENT_SENTENCE in str(error.get("message"))


def _error(body: bytes) -> dict[str, Any]:
    """What a body says under `error`, in which Gemini's is a list of one and vLLM's is all there is."""
    try:
        answer = orjson.loads(body)
        said = answer[0] if isinstance(answer, list) else answer
        error = said if said.get("object") == "error" else said.get("error")
    except (orjson.JSONDecodeError, LookupError, AttributeError):
        return {}
    return error if isinstance(error, dict) else {"message": error} if error else {}


def _code(error: Mapping[str, Any]) -> str | None:
    found = next(iter(_codes(error)), "")
    return found if _CODE.fullmatch(found) else None


def _codes(error: Mapping[str, Any]) -> list[str]:
    return [error[name] for name in ("code", "type", "status") if isinstance(error.get(name), str)]


def _in_details(error: Mapping[str, Any], name: str) -> list[str]:
    """What the details of an error of Google's, and the violations in them, have under a name
    (https://google.aip.dev/193)."""
    details = _objects(error.get("details"))
    details += [violation for detail in details for violation in _objects(detail.get("violations"))]
    return [detail[name] for detail in details if isinstance(detail.get(name), str)]


def _objects(entries: Any) -> list[dict[str, Any]]:
    return [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []


def _delay(error: Mapping[str, Any]) -> int | None:
    """Google's `retryDelay`, in seconds."""
    found = _DELAY.fullmatch(next(iter(_in_details(error, "retryDelay")), ""))
    return _bounded(math.ceil(float(found[1]))) if found else None


def _seconds(retry_after: str) -> int | None:
    """A Retry-After (RFC 9110, section 10.2.3): seconds, or a date."""
    if re.fullmatch(r"[0-9]{1,9}", retry_after.strip()):
        seconds = int(retry_after)
    else:
        try:
            seconds = math.ceil(parsedate_to_datetime(retry_after).timestamp() - time.time())
        except (ValueError, OverflowError):
            return None
    return _bounded(seconds)


def _bounded(seconds: int) -> int:
    return min(max(1, seconds), LONGEST_RETRY_AFTER)
