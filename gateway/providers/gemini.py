"""Gemini, in Google's own API."""

from __future__ import annotations

import math
import re
import time
from dataclasses import replace

import orjson

from gateway.config.secrets import Redactor
from gateway.config.settings import ProviderSettings
from gateway.errors import ModelNotFound
from gateway.model import Completion, ModelRequest
from gateway.providers.base import Call, Stream, no_answer
from gateway.providers.fitting import translating
from gateway.providers.gemini_stream import GeminiStream
from gateway.providers.http import Reply, too_large
from gateway.providers.vendor import LARGEST_UNSTREAMED, LONGEST_TOKEN, UNSTREAMED, HttpProvider
from gateway.wire import gemini_answers, gemini_requests
from gateway.wire.fields import Untranslatable
from gateway.wire.openai import TooManyParts, check_parts, read_choices
from gateway.wire.replay import Replay

_MODELS = "/models/"
_WHOLE, _STREAMED = ":generateContent", ":streamGenerateContent?alt=sse"
# It stands in the path of a call that shows our credential.
_MODEL = re.compile(r"(?!.*\.\.)[A-Za-z0-9_-][A-Za-z0-9._-]*(?:/[A-Za-z0-9_-][A-Za-z0-9._-]*)?")


class GeminiProvider(HttpProvider):
    """A provider of generated content; takes what `HttpProvider` does, but for the paths. No client speaks its dialect:
    its requests are made of OpenAI's chat, and its answers made that."""

    def __init__(self, settings: ProviderSettings, redactor: Redactor) -> None:
        super().__init__(settings, redactor, _MODELS)

    def complete(self, request: ModelRequest, model: str, call: Call) -> Completion:
        return self._whole(model, self._ask(request, model, call))

    def stream(self, request: ModelRequest, model: str, call: Call) -> Stream:
        first_by = time.monotonic() + self.timeouts.first_byte
        reply = self._ask(request, model, call, first_by)
        if reply.headers.get("content-type", "").startswith(UNSTREAMED):
            return Replay(self._whole(model, reply, LARGEST_UNSTREAMED))
        caps = [*request.caps.values(), *([call.cap] if call.cap else [])]
        most = min(caps) * request.choices * LONGEST_TOKEN if caps else math.inf  # thoughts are within the cap
        stream = GeminiStream(model, self.name, reply, self.timeouts, most, self.request_id(reply.headers))
        stream.open(first_by)
        return stream

    def _ask(self, request: ModelRequest, model: str, call: Call, first_by: float | None = None) -> Reply:
        if not _MODEL.fullmatch(model):
            raise ModelNotFound(f"The provider {self.name!r} can have no model of such a name.", param="model")
        suffix = model + (_STREAMED if request.stream else _WHOLE)
        return self.send(_MODELS, self._body(request, model, call.cap), request, call, first_by, suffix=suffix)

    def _body(self, request: ModelRequest, model: str, cap: int | None) -> bytes:
        with translating(request, self.name):
            document = gemini_requests.from_chat(request.asked, model, cap)
            try:
                return orjson.dumps(document)
            except orjson.JSONEncodeError:
                raise Untranslatable("messages", "JSON that is nested too deeply") from None

    def _whole(self, model: str, reply: Reply, most_bytes: int | None = None) -> Completion:
        body = reply.read(most_bytes)
        try:
            check_parts(body)
            answer = orjson.loads(body)
            chat = gemini_answers.to_chat(answer, int(time.time()), model)
            reported = answer.get("usageMetadata")
            usage = gemini_answers.read_usage(reported)
            found = read_choices(chat, orjson.dumps(chat), usage, self.request_id(reply.headers))
        except TooManyParts as error:
            raise too_large(self.name, str(error)) from error
        except (ValueError, TypeError, AttributeError) as error:
            raise no_answer(self.name, body) from error
        return replace(found, misreported=bool(reported) and usage is None)
