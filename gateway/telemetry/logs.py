"""One JSON object a line, for requests, for the gateway's own words and for Gunicorn's.

Nothing a client sends can make a second line or a forged field: values are JSON strings of ASCII, and secrets are
blotted out of every value at this last point before the sink.
"""

from __future__ import annotations

import json
import logging.config
import logging.handlers
import sys
import time
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

import orjson
from pythonjsonlogger.json import JsonFormatter

from gateway.config import Settings
from gateway.config.secrets import Redactor, Secret
from gateway.errors import CutOff
from gateway.model import Usage
from gateway.telemetry.record import RequestRecord

in_flight: dict[int, RequestRecord] = {}  # requests that have no line yet

_LOOK = 0.1  # seconds between two looks whether the file has been rotated

_requests = logging.getLogger("gateway.request")
_attempts = logging.getLogger("gateway.attempt")
_ledger = logging.getLogger("gateway.ledger")


@lru_cache(maxsize=4)
def _second(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))


class LineFormatter(JsonFormatter):
    """python-json-logger's formatter with our field names and the redaction.

    Args:
        secrets: what to blot out.
    """

    def __init__(self, secrets: tuple[Secret, ...] = ()) -> None:
        super().__init__(
            "{levelname}{name}{message}",
            style="{",
            rename_fields={"levelname": "level", "name": "logger"},
            json_serializer=partial(json.dumps, separators=(",", ":")),
        )
        self._redactor = Redactor(secrets)

    def format(self, record: logging.LogRecord) -> str:
        """The line. Of a request's it is known which of the record's attributes are fields."""
        fields: dict[str, Any] | None = getattr(record, "fields", None)
        if fields is None:
            return str(super().format(record))
        head = {"level": record.levelname, "logger": record.name, "message": record.getMessage()}
        return self.jsonify_log_record({"time": self.formatTime(record), **head, **fields})

    def add_fields(self, log_data: dict[str, Any], record: logging.LogRecord, message_dict: dict[str, Any]) -> None:
        log_data["time"] = self.formatTime(record)
        super().add_fields(log_data, record, message_dict)

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802 - logging's name
        """UTC in RFC 3339 with milliseconds."""
        return f"{_second(int(record.created))}.{int(record.msecs):03d}Z"

    def jsonify_log_record(self, log_data: dict[str, Any]) -> str:
        """As JSON, the cost as a plain decimal number, which a float would write with an exponent."""
        try:
            written = orjson.dumps(log_data)
            line = written.decode() if written.isascii() else super().jsonify_log_record(log_data)
        except TypeError:  # what JSON does not know
            line = super().jsonify_log_record(log_data)
        if self._redactor.finds_in_json(line):  # to look into each value takes longer than all the rest
            line = super().jsonify_log_record(self._redactor.value(log_data))
        line = line.replace("\x7f", "\\u007f")  # the only control character that JSON lets stand
        cost = log_data.get("estimated_cost_usd")
        return line.replace(f'"estimated_cost_usd":"{cost}"', f'"estimated_cost_usd":{cost}', 1) if cost else line


class LogFile(logging.handlers.WatchedFileHandler):
    """A file that may be rotated: a tenth of a second later lines go into the new one. What it does not take goes to
    standard error, and nobody fails for it.

    Attributes:
        failed: called for every line that it did not take.
    """

    failed: Callable[[], None] = staticmethod(lambda: None)
    _next_look = 0.0  # monotonic seconds

    def reopenIfNeeded(self) -> None:  # noqa: N802 - logging's name
        if (now := time.monotonic()) >= self._next_look:
            self._next_look = now + _LOOK
            super().reopenIfNeeded()

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line: what the base classes do, who take a lock again for the end of it."""
        try:
            self.reopenIfNeeded()
            self.stream = self.stream or self._open()
            self.stream.write(self.format(record) + self.terminator)
            self.stream.flush()
        except (OSError, ValueError):  # of a full or missing disk; of a file that was closed
            self.handleError(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        print(self.format(record), file=sys.stderr, flush=True)
        self.failed()


def logging_config(settings: Settings) -> dict[str, Any]:
    """`logging.config.dictConfig`'s dictionary; Gunicorn takes the same one as `logconfig_dict`."""
    to_stdout = {"class": "logging.StreamHandler", "stream": "ext://sys.stdout"}
    to_file = {"()": LogFile, "filename": settings.log_file, "delay": True}
    logger = {"level": settings.log_level, "handlers": ["lines"], "propagate": False}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": {"()": LineFormatter, "secrets": settings.secrets}},
        "handlers": {"lines": {"formatter": "line", **(to_file if settings.log_file else to_stdout)}},
        "root": {"level": "WARNING", "handlers": ["lines"]},
        "loggers": {"gateway": logger, "gunicorn.error": logger, "py.warnings": logger},
    }


def configure(settings: Settings) -> None:
    logging._srcfile = None  # nobody asks which line logs, and to find out takes long
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging.config.dictConfig(logging_config(settings))
    logging.captureWarnings(True)


def log_failed_attempt(record: RequestRecord, error_code: str, detail: str | None) -> None:
    """Tell the operator why a provider did not answer, whether or not another one then did."""
    fields = {
        "request_id": record.request_id,
        "attempt": record.attempts,
        "provider": record.provider,
        "model": record.model,
        "error_code": error_code,
        "detail": detail,
    }
    _attempts.warning("attempt %d failed at %s", record.attempts, record.provider, extra=fields)


def log_suspect_usage(record: RequestRecord, reported: Usage | None, written: Usage) -> None:
    """Tell that a provider reported tokens that nobody believes: more than allowed, none for a text, or no number."""
    fields = {"request_id": record.request_id, "provider": record.provider, "model": record.model}
    for name in ("prompt_tokens", "completion_tokens"):
        fields |= {f"reported_{name}": getattr(reported, name, None), f"written_{name}": getattr(written, name)}
    _ledger.warning("%s reported tokens that are not credible", record.provider, extra=fields)


def log_unsettled(record: RequestRecord, detail: str | None) -> None:
    """Tell that what a call took is not written down yet."""
    fields = {"request_id": record.request_id, "detail": detail}
    _ledger.error("what a call took is not written down yet; it is tried again", extra=fields)


def log_overrun(subject: str, rate: str, limit: str, spent: str) -> None:
    """Tell that a limit which is not hard has been passed."""
    _ledger.warning("%s has passed its limit of %s %s: %s spent", subject, limit, rate, spent)


def log_cut_requests() -> None:
    """Write the line of every request that this process, about to end, will not answer."""
    for record in list(in_flight.values()):
        record.error_code = CutOff.code
        log_request(record)


def log_request(record: RequestRecord) -> None:
    """Write the request's one line."""
    in_flight.pop(id(record), None)
    if _requests.isEnabledFor(logging.INFO):
        fields = record.as_log_fields()
        _requests.info("%s %s %s", record.method, record.path, record.status, extra={"fields": fields})
