"""`make run` on a checkout: it writes .env, starts, and prints a curl line that works as pasted."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.service.conftest import ROOT

# What `make run` needs of a checkout; the environment that these tests run in serves as its .venv.
FILES = (
    "Makefile",
    "setup.cfg",
    "requirements.lock",
    "tokenizers.lock",
    "wsgi.py",
    "gunicorn.conf.py",
    "deploy",
    "gateway",
)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    directory = tmp_path / "a check out"
    directory.mkdir()
    for name in FILES:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy2
        copy(ROOT / name, directory / name)
    for name in ("setup.cfg", "requirements.lock"):
        os.utime(directory / name, (0, 0))  # older than what is installed, so that make does not install again
    (directory / ".venv").symlink_to(sys.prefix)
    return directory


@contextlib.contextmanager
def run(checkout: Path, **variables: str) -> Iterator[tuple[str, Path]]:
    """A running `make run`: its curl line and the file of its output."""
    output = checkout / "output"
    environment = {"PATH": os.environ["PATH"], "HOME": str(checkout), "PORT": "0", **variables}
    with output.open("wb") as stream:
        process = subprocess.Popen(
            ["make", "run"], cwd=checkout, env=environment, stdout=stream, stderr=stream, start_new_session=True
        )
    try:
        until = time.monotonic() + 30
        while "\ncurl " not in output.read_text():
            assert process.poll() is None, output.read_text()
            assert time.monotonic() < until, output.read_text()
            time.sleep(0.1)
        yield next(line for line in output.read_text().splitlines() if line.startswith("curl ")), output
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(20)


def paste(line: str, **variables: str) -> dict[str, object]:
    pasted = subprocess.run(
        ["sh", "-c", line], env={"PATH": os.environ["PATH"], **variables}, capture_output=True, check=True
    )
    answer: dict[str, object] = json.loads(pasted.stdout)
    return answer


def test_a_fresh_checkout_answers_the_pasted_line(checkout: Path) -> None:
    with run(checkout) as (line, output):
        answer = paste(line)
        assert (answer["response"], answer["model"]) == ("Hello!", "offline/echo")
        key = (checkout / ".env").read_text().splitlines()[0].removeprefix("API_KEY=")
        assert len(key) == 43
        assert key not in output.read_text(), "the line refers to the key and does not show it"


@pytest.mark.parametrize("value", ["one-key-123456", "'one-key-123456'", '"one-key-123456,two-key-123456"'])
def test_the_line_works_however_the_key_is_written(value: str, checkout: Path) -> None:
    (checkout / ".env").write_text(f"# mine\nAPI_KEY={value}\n")
    with run(checkout) as (line, _):
        assert paste(line)["response"] == "Hello!"


def test_a_key_from_the_environment_stays_there(checkout: Path) -> None:
    with run(checkout, API_KEY="key-of-environment", MODEL_NAME="offline/echo?tokens=3") as (line, output):
        assert paste(line, API_KEY="key-of-environment")["completion_tokens"] == 3
        assert not (checkout / ".env").exists()
        assert "key-of-environment" not in output.read_text()
