"""Gemini, in Google's own API."""

from __future__ import annotations

import re
import time
from dataclasses import replace
from typing import Any

import orjson

from gateway.config.secrets import Redactor
from gateway.config.settings import ProviderSettings
from gateway.errors import ModelNotFound
from gateway.model import Completion, ModelRequest
from gateway.providers.base import Call, Translation, no_answer
from gateway.providers.gemini_stream import GeminiStream
from gateway.providers.http import Reply
from gateway.providers.stream import Arriving, VendorStream
from gateway.providers.vendor import LARGEST_UNSTREAMED, HttpProvider
from gateway.wire import gemini_answers, gemini_requests
from gateway.wire.edit import edited
from gateway.wire.gemini_embeddings import from_openai, to_openai
from gateway.wire.openai import check_parts, read_choices

_MODELS = "/models/"
_WHOLE, _STREAMED = ":generateContent", ":streamGenerateContent?alt=sse"
_EMBEDDINGS, _COUNT = ":batchEmbedContents", ":countTokens"
# It stands in the path of a call that shows our credential.
_MODEL = re.compile(r"(?!.*\.\.)[A-Za-z0-9_-][A-Za-z0-9._-]*(?:/[A-Za-z0-9_-][A-Za-z0-9._-]*)?")


class GeminiProvider(HttpProvider):
    """A provider of generated content and of embeddings; takes what `HttpProvider` does, but for the paths. No client
    speaks its dialect: its requests are made of OpenAI's, and its answers made those."""

    operations = frozenset({"chat", "embeddings"})

    def __init__(self, settings: ProviderSettings, redactor: Redactor) -> None:
        super().__init__(settings, redactor, _MODELS)

    def ask(self, request: ModelRequest, model: str, call: Call, first_by: float | None = None) -> Reply:
        method = _EMBEDDINGS if request.operation == "embeddings" else _STREAMED if request.stream else _WHOLE
        return self._send(model, method, self._body(request, call.cap), request, call, first_by)

    def count_tokens(self, request: ModelRequest, model: str, call: Call) -> int:
        document = {"generateContentRequest": {"model": f"models/{model}", **orjson.loads(request.body or b"{}")}}
        answer = self._send(model, _COUNT, orjson.dumps(document), request, call).read(LARGEST_UNSTREAMED)
        counted = _field(answer, "totalTokens")
        usage = gemini_answers.read_usage({"promptTokenCount": counted}) if counted else None
        if usage is None:
            raise no_answer(self.name, answer)
        return usage.prompt_tokens

    def _send(
        self, model: str, method: str, body: bytes, request: ModelRequest, call: Call, first_by: float | None = None
    ) -> Reply:
        if not _MODEL.fullmatch(model):
            raise ModelNotFound(f"The provider {self.name!r} can have no model of such a name.", param="model")
        return self.send(_MODELS, body, request, call, first_by, suffix=model + method)

    def read(self, request: ModelRequest, model: str, body: bytes, its_id: str | None) -> Completion:
        check_parts(body)
        answer = orjson.loads(body)
        reported = answer.get("usageMetadata")
        usage = gemini_answers.read_usage(reported)
        if request.operation == "embeddings":
            texts, in_base64 = request.asked["input"], request.asked.get("encoding_format") == "base64"
            if len(answer.get("embeddings") or ()) != (1 if isinstance(texts, str) else len(texts)):
                raise ValueError("not an embedding of each text")
            found = Completion(
                orjson.dumps(to_openai(answer, model, usage, in_base64)), usage=usage, upstream_request_id=its_id
            )
        else:
            chat = gemini_answers.to_chat(answer, int(time.time()), model)
            found = read_choices(chat, orjson.dumps(chat), usage, its_id)
        return replace(found, misreported=bool(reported) and usage is None)

    def stream_of(self, request: ModelRequest, model: str, arriving: Arriving) -> VendorStream:
        return GeminiStream(arriving, model)

    def translate(self, request: ModelRequest, model: str) -> Translation:
        if request.operation == "embeddings":
            return Translation(from_openai(request.asked, model))
        return Translation(gemini_requests.from_chat(request.asked, model))

    def _body(self, request: ModelRequest, cap: int | None) -> bytes:
        body = request.body or b"{}"
        if cap is None or request.operation != "chat":
            return body
        config = orjson.loads(body).get("generationConfig", {})
        return edited(body, {"generationConfig": {**config, "maxOutputTokens": request.capped(cap)}})


def _field(answer: bytes, name: str) -> Any:
    try:
        return orjson.loads(answer).get(name)
    except (orjson.JSONDecodeError, AttributeError):
        return None
