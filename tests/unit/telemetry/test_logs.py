"""A log line is one JSON object, whatever is in it, and shows no secret."""

from __future__ import annotations

import base64
import io
import json
import logging
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config import Secret, Settings
from gateway.model import Usage
from gateway.telemetry.logs import LineFormatter, LogFile, logging_config
from gateway.telemetry.record import RequestRecord

CONTRACT = {
    "time", "level", "message", "request_id", "trace_id", "method", "path", "status", "duration_ms", "overhead_ms",
    "tenant", "key_id", "user_id", "model", "provider", "stream", "cached", "attempts", "prompt_tokens",
    "completion_tokens", "cached_tokens", "cache_write_tokens", "reasoning_tokens", "estimated_cost_usd",
    "usage_source", "ttft_ms", "finish_reason", "upstream_request_id", "session_id", "client", "client_address", "error_code",
}  # fmt: skip


def line(message: str, secrets: tuple[Secret, ...] = (), **fields: Any) -> str:
    record = logging.LogRecord("gateway.test", logging.INFO, "f.py", 1, message, None, None)
    record.__dict__.update(fields)
    return LineFormatter(secrets).format(record)


def test_a_request_line_has_every_field_of_the_contract() -> None:
    record = RequestRecord("r-1", "POST", "/inference")
    record.usage, record.cost_nano = Usage(20, 100, cached_tokens=5), 1
    written = json.loads(line("done", **record.as_log_fields()))
    assert written.keys() == CONTRACT | {"logger", "requested_model"}
    assert (written["prompt_tokens"], written["cached_tokens"], written["usage_source"]) == (20, 5, "provider")
    assert written["time"].endswith("Z")


@pytest.mark.parametrize(("nano", "number"), [(1, "0.000000001"), (2_100_000, "0.0021"), (0, "0"), (None, "null")])
def test_the_cost_is_a_plain_number(nano: int | None, number: str) -> None:
    record = RequestRecord("r-1", "POST", "/inference")
    record.cost_nano = nano
    assert f'"estimated_cost_usd":{number},' in line("done", **record.as_log_fields())


@given(st.text(), st.text())
def test_nothing_a_client_sends_makes_a_second_line_or_a_forged_field(user: str, path: str) -> None:
    record = RequestRecord("r-1", "POST", path)
    record.user_id, record.cost_nano = user, 7
    written = line(f"POST {path}", **record.as_log_fields())
    assert written.isascii()
    assert written.isprintable()
    assert json.loads(written)["user_id"] == user
    assert json.loads(written)["path"] == path


@given(st.text(st.characters(codec="ascii", min_codepoint=33), min_size=8, max_size=40), st.text(max_size=20))
def test_a_secret_is_blotted_out_of_every_value_in_every_form(secret: str, around: str) -> None:
    forms = [secret, quote(secret, safe=""), base64.b64encode(secret.encode()).decode()]
    written = line(
        f"{around}{forms[0]}{around}",
        (Secret(secret),),
        header=forms[1],
        deep={"list": [forms[2], {"name": forms[0]}]},
    )
    values = json.dumps([json.loads(written)[name] for name in ("message", "header", "deep")])
    for form in forms:
        assert json.dumps(form)[1:-1] not in values


def test_a_stack_trace_is_in_the_line_and_redacted() -> None:
    try:
        raise ValueError("with sk-secret-key inside")
    except ValueError:
        record = logging.LogRecord("g", logging.ERROR, "f.py", 1, "crash", None, sys.exc_info())
    written = LineFormatter((Secret("sk-secret-key"),)).format(record)
    assert "\n" not in written
    assert "ValueError: with [secret] inside" in json.loads(written)["exc_info"]


def test_gunicorn_writes_through_the_same_formatter(make_settings: Callable[..., Settings], tmp_path: Any) -> None:
    config = logging_config(make_settings(LOG_FILE=str(tmp_path / "log"), LOG_LEVEL="DEBUG"))
    assert config["loggers"]["gunicorn.error"] == config["loggers"]["gateway"]
    assert config["loggers"]["gateway"]["level"] == "DEBUG"
    assert config["handlers"]["lines"]["filename"] == str(tmp_path / "log")


def test_prompts_are_in_the_line_only_if_they_were_recorded() -> None:
    record = RequestRecord("r-1", "POST", "/inference")
    assert "prompt" not in record.as_log_fields()
    record.prompt, record.response = "question", "answer"
    assert record.as_log_fields().items() >= {"prompt": "question", "response": "answer"}.items()


def test_a_stream_is_never_half_written() -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(LineFormatter())
    logger = logging.Logger("x")  # noqa: LOG001 - outside the tree on purpose
    logger.addHandler(handler)
    logger.info("one\ntwo")
    assert stream.getvalue().count("\n") == 1


def test_lines_go_into_the_new_file_a_moment_after_the_old_one_was_moved_away(tmp_path: Path) -> None:
    file, moved = tmp_path / "log", tmp_path / "log.1"
    handler = LogFile(file, delay=True)
    logger = logging.Logger("x")  # noqa: LOG001 - outside the tree on purpose
    logger.addHandler(handler)
    logger.info("before")
    file.rename(moved)
    time.sleep(0.15)
    logger.info("after")
    handler.close()
    assert (moved.read_text(), file.read_text()) == ("before\n", "after\n")


def test_a_line_that_its_file_does_not_take_goes_to_standard_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    failures = list[int]()
    handler = LogFile(tmp_path / "log", delay=True)
    handler.failed = lambda: failures.append(1)
    logger = logging.Logger("x")  # noqa: LOG001 - outside the tree on purpose
    logger.addHandler(handler)
    logger.info("one")
    handler.stream.close()
    logger.info("two")
    assert (capsys.readouterr().err, len(failures)) == ("two\n", 1)
