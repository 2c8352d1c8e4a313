"""What the container files promise, read out of them: nothing here needs Docker."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from ruamel.yaml import YAML

from gateway import __version__

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
DATASOURCES = "deploy/grafana/provisioning/datasources"


def instructions(text: str) -> list[tuple[str, str]]:
    """A Dockerfile's instructions and what stands behind each, with continued lines joined."""
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [(line.split(maxsplit=1)[0], line.split(maxsplit=1)[1]) for line in joined.splitlines()]


def is_let_in(path: str) -> bool:
    """Whether .dockerignore lets the path into the build: the last line that fits it, or a folder above it, decides."""
    let_in = True
    for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            continue
        pattern = re.escape(line.removeprefix("!")).replace(r"\*\*/", "(.*/)?").replace(r"\*", "[^/]*")
        if re.fullmatch(f"{pattern}(/.*)?", path):
            let_in = line.startswith("!")
    return let_in


def parsed(name: str) -> Any:
    return YAML(typ="safe").load(ROOT / name)


DOCKERFILE = instructions((ROOT / "Dockerfile").read_text(encoding="utf-8"))
FINAL = DOCKERFILE[max(index for index, (name, _) in enumerate(DOCKERFILE) if name == "FROM") :]
COMPOSE = parsed("compose.yaml")


def arguments(name: str, stage: list[tuple[str, str]] = DOCKERFILE) -> list[str]:
    return [argument for instruction, argument in stage if instruction == name]


def test_continued_and_commented_lines_are_read_as_docker_reads_them() -> None:
    assert instructions("# a\nENV A=1 \\\n    # b\n    B=2\nRUN c") == [("ENV", "A=1 B=2"), ("RUN", "c")]


def test_every_stage_starts_from_a_pinned_image_or_from_an_earlier_stage() -> None:
    stages: set[str] = set()
    for argument in arguments("FROM"):
        image, *name = argument.split(" AS ")
        assert image in stages or re.fullmatch(r"[a-z]+:\d+\.\d+\.\d+-[a-z-]+@sha256:[0-9a-f]{64}", image), image
        stages |= set(name)


def test_the_image_runs_as_a_numeric_user_who_owns_only_the_data() -> None:
    assert arguments("USER", FINAL) == ["10001:10001"]
    assert arguments("VOLUME", FINAL) == ["/data"]
    assert "-o 10001 -g 10001 /data" in arguments("RUN", FINAL)[-1]
    assert not [copy for copy in arguments("COPY") if "--chown" in copy]


def test_gunicorn_is_process_1_and_stops_at_sigterm() -> None:
    assert json.loads(arguments("CMD", FINAL)[-1]) == ["gunicorn", "wsgi:app"]
    assert arguments("STOPSIGNAL", FINAL) == ["SIGTERM"]
    assert arguments("ENTRYPOINT") == []


@pytest.mark.parametrize(("status", "exit_code"), [(200, 0), (503, 1), (None, 1)])
def test_the_health_check_ends_with_0_only_if_health_answers_200_on_the_port(
    status: int | None, exit_code: int
) -> None:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status or 0 if self.path == "/health" else 404)
            self.end_headers()

    (check,) = arguments("HEALTHCHECK", FINAL)
    options, command = check.split("CMD ")
    assert {option.split("=")[0] for option in options.split()} == {"--interval", "--timeout", "--start-period"}
    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        if status is None:
            server.server_close()
        else:
            threading.Thread(target=server.handle_request, daemon=True).start()
        environment = {"PORT": str(server.server_port), "http_proxy": "http://127.0.0.1:9"}
        python, *rest = json.loads(command)
        assert python == "python"
        assert subprocess.run([sys.executable, *rest], env=environment, timeout=20).returncode == exit_code


def test_the_label_and_the_package_say_the_same_version() -> None:
    assert arguments("ARG", FINAL) == [f"VERSION={__version__}"]
    assert '.version="$VERSION"' in arguments("LABEL", FINAL)[0]


def test_nothing_is_downloaded_but_what_a_lock_fixes_by_its_hash() -> None:
    assert arguments("ADD") == []
    for command in arguments("RUN"):
        assert not re.search(r"\b(curl|wget|apt-get)\b", command)
        if "pip install" in command:
            assert "--require-hashes --only-binary :all:" in command or "--no-deps --no-build-isolation ." in command
    assert "--require-hashes" in (ROOT / "deploy/tokenizers").read_text(encoding="utf-8")


def test_no_layer_holds_a_secret() -> None:
    for argument in arguments("ENV") + arguments("ARG"):
        assert not re.search(r"key|token|secret|passw|credential|://", argument, re.IGNORECASE), argument


def test_everything_that_is_copied_exists_and_is_let_in() -> None:
    for argument in arguments("COPY"):
        if argument.startswith("--from"):
            continue
        for source in argument.split()[:-1]:
            path = ROOT / source
            files = [path] if path.is_file() else list(path.rglob("*.py"))
            assert files, source
            assert [file for file in files if not is_let_in(file.relative_to(ROOT).as_posix())] == []


@pytest.mark.parametrize(
    "path",
    [".env", ".env.local", "gateway/.env", ".git/config", ".venv/bin/python", "tests/conftest.py", "data/ledger",
     "gateway.yaml", "compose.yaml", "deploy/build.in", "gateway/__pycache__/app.cpython-311.pyc"],
)  # fmt: skip
def test_nothing_else_is_let_in(path: str) -> None:
    assert not is_let_in(path)


@pytest.mark.parametrize("name", COMPOSE["services"])
def test_every_service_is_pinned_hardened_and_reached_from_this_machine_only(name: str) -> None:
    service = COMPOSE["services"][name]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
    assert "build" in service or re.search(r":v?\d+(\.\d+)+", service["image"])


def test_compose_runs_the_image_with_a_read_only_root_and_time_to_drain() -> None:
    assert set(COMPOSE["services"]) == {"gateway", "redis", "postgres", "prometheus", "grafana"}
    gateway = COMPOSE["services"]["gateway"]
    assert gateway["read_only"] is True
    assert gateway["volumes"] == ["data:/data"]
    assert int(gateway["stop_grace_period"].removesuffix("s")) >= 600 + 5
    assert COMPOSE["services"]["postgres"]["profiles"] == ["postgres"]


def test_compose_has_no_default_for_a_secret_and_stops_without_the_required_ones() -> None:
    text = (ROOT / "compose.yaml").read_text(encoding="utf-8")
    secrets = re.findall(r"\$\{(\w*(?:KEY|PASSWORD))(:.)(.*?)\}", text)
    assert {name for name, operator, _ in secrets if operator == ":?"} == {"API_KEY", "GRAFANA_ADMIN_PASSWORD"}
    assert [default for _, operator, default in secrets if operator != ":?"] == [""]


def test_every_file_that_compose_mounts_exists() -> None:
    mounts = [volume for service in COMPOSE["services"].values() for volume in service.get("volumes", [])]
    sources = [mount.split(":")[0] for mount in mounts if mount.startswith("./")]
    assert {f"./{DATASOURCES}", "./deploy/prometheus.yml"} == set(sources)
    assert [source for source in sources if not (ROOT / source).exists()] == []


def test_prometheus_scrapes_the_gateway_and_grafana_asks_prometheus() -> None:
    (job,) = parsed("deploy/prometheus.yml")["scrape_configs"]
    port = COMPOSE["services"]["gateway"]["environment"]["PORT"]
    assert (job["job_name"], job["metrics_path"]) == ("prod-ai-api", "/metrics")
    assert job["static_configs"] == [{"targets": [f"gateway:{port}"]}]
    assert parsed(f"{DATASOURCES}/prometheus.yml")["datasources"][0]["url"] == "http://prometheus:9090"
    run_promtool("check", "config", str(ROOT / "deploy/prometheus.yml"))


def test_the_queries_of_the_readme_ask_for_metrics_that_exist(client: FlaskClient, tmp_path: Path) -> None:
    queries = re.findall(r"^.+$", README.split("```promql\n")[1].split("```")[0], re.MULTILINE)
    client.get("/metrics")
    known = client.get("/metrics").text
    metrics = re.findall(r"\b(?:flask|llm_gateway)_\w+", "".join(queries))
    assert [metric for metric in metrics if f"# TYPE {re.sub('_(bucket|count)$', '', metric)} " not in known] == []
    rules = tmp_path / "rules.yml"
    rules.write_text(json.dumps({"groups": [{"name": "readme", "rules": [
        {"record": f"query:{index}", "expr": query} for index, query in enumerate(queries)
    ]}]}), encoding="utf-8")  # fmt: skip
    assert len(queries) == 11
    run_promtool("check", "rules", str(rules))


def run_promtool(*arguments: str) -> None:
    """Prometheus' own judgement, where it is installed."""
    promtool = shutil.which("promtool")
    if promtool:
        subprocess.run([promtool, *arguments], check=True, timeout=30)
