"""Every command in the README works as pasted, or is said to need Docker."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.service.conftest import ROOT
from tests.service.test_make_run import checkout, paste, run

__all__ = ["checkout"]  # a fixture

README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks() -> Iterator[tuple[str, str]]:
    """The heading above each block of commands, with the text between, and the block."""
    for section in re.split(r"^#{2,3} ", README, flags=re.MULTILINE):
        for block in re.findall(r"^```sh\n(.*?)^```", section, flags=re.MULTILINE | re.DOTALL):
            yield section, block


PLAIN = [block for section, block in blocks() if "needs Docker" not in section]
RUNS = [block for block in PLAIN if block.rstrip().endswith("make run")]
ASKS = [block for block in PLAIN if not re.search(r"make \w+$", block.rstrip())]


def test_what_needs_docker_says_so() -> None:
    assert any("docker" in block for _, block in blocks())
    assert not [block for block in PLAIN if "docker" in block]


def test_the_gate_runs_the_tests_as_the_readme_does() -> None:
    (tests,) = [block for block in PLAIN if block not in RUNS and block not in ASKS]
    assert tests.splitlines() == ["make test", "make lint"]
    assert set(tests.splitlines()) <= set((ROOT / ".ci/run").read_text(encoding="utf-8").splitlines())


@pytest.mark.parametrize("block", RUNS)
def test_the_service_starts_in_every_way_shown(block: str, checkout: Path) -> None:
    variables = dict(word.split("=", 1) for word in block.split()[:-2])
    with run(checkout, **{name: value.replace("…", "x") for name, value in variables.items()}) as (_, output):
        model = variables.get("MODEL_NAME", "offline/echo")
        assert f"; {model} answers where a request names no model" in output.read_text()


def test_what_is_asked_of_a_running_service_is_answered(checkout: Path) -> None:
    assert len(ASKS) >= 4
    with run(checkout, CACHE_TTL="60", GUNICORN_CMD_ARGS="--pid gateway.pid") as (line, _):
        port = re.search(r"127.0.0.1:(\d+)", line)
        assert port
        answers = ""
        for block in ASKS:
            pasted = subprocess.run(
                ["sh", "-ec", block.replace(":8000", f":{port[1]}")],
                cwd=checkout,
                env={"PATH": os.environ["PATH"], "HOME": str(checkout)},
                capture_output=True,
                text=True,
                timeout=30,
            )
            assert pasted.returncode == 0, (block, pasted.stdout, pasted.stderr)
            answers += pasted.stdout
        for told in (
            '"response":"What is a gateway?"',
            "llm_gateway_requests_total",
            '"status":"ready"',
            "ok      provider offline",
        ):
            assert told in answers
        assert paste(line)["response"] == "Hello!"


@pytest.mark.parametrize("code", re.findall(r"^```python\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL))
def test_the_python_shown_is_answered(code: str, checkout: Path) -> None:
    with run(checkout) as (line, _):
        port = re.search(r"127.0.0.1:(\d+)", line)
        assert port
        key = (checkout / ".env").read_text().splitlines()[0].removeprefix("API_KEY=")
        pasted = subprocess.run(
            [sys.executable, "-c", code.replace(":8000", f":{port[1]}").replace("…", key)],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
    assert (pasted.stdout, pasted.stderr) == ("What is a gateway?\n", "")


def test_the_yaml_shown_is_a_valid_file_and_the_json_valid_json(checkout: Path) -> None:
    from gateway.config import load

    shown = re.findall(r"^```yaml\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)
    (yaml,) = [each for each in shown if "/run/secrets" in each]
    keys = {f"{name}_API_KEY": f"sk-{name}" for name in ("OPENAI", "SECOND", "GROQ")}
    for other in shown:
        if other != yaml:
            (checkout / "gateway.yaml").write_text(other)
            load({"API_KEY": "k" * 20, "MODEL_NAME": "offline/echo", **keys}, checkout)
    key, bundle = checkout / "key", checkout / "corp.pem"
    key.write_text("secret")
    bundle.write_text(Path(os.environ.get("SSL_CERT_FILE", "/etc/ssl/certs/ca-certificates.crt")).read_text())
    yaml = yaml.replace("/run/secrets/local-key", str(key)).replace("/etc/ssl/corp.pem", str(bundle))
    (checkout / "gateway.yaml").write_text(yaml)
    settings = load({"API_KEY": "k" * 20, "OPENAI_API_KEY": "sk"}, checkout)
    assert settings.warnings == ()
    for block in re.findall(r"^```json\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL):
        json.loads(block)


def test_every_variable_is_in_the_table_and_no_other() -> None:
    from gateway.config.environment import EnvironmentSchema

    known = {str(field.data_key) for field in EnvironmentSchema().fields.values()} - {"GATEWAY_HINT"}
    table = README[README.index("| variable |") : README.index("Providers by `NAME`")]
    told = {
        name
        for row in table.splitlines()
        if row.startswith("|")
        for name in re.findall(r"`([A-Z_]+)`", row.split("|")[1])
    }
    assert told == known
