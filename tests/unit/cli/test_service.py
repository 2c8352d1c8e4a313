"""The operator's commands on the service."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gateway import __version__
from gateway.cli import main
from gateway.config.schema import json_schema
from gateway.providers import registry
from tests.fakes.redis_server import RedisServer
from tests.fakes.upstream import Upstream, answers

VARIABLES = {"API_KEY": "k-0123456789abcdef", "MODEL_NAME": "offline/echo"}


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def run(*words: str, **variables: str) -> Result:
    return CliRunner().invoke(main, words, env=variables)


def test_the_command_has_both_its_names() -> None:
    names = {entry.name for entry in entry_points(group="console_scripts") if entry.value == "gateway.cli:main"}
    assert names == {"gateway", "llm-gateway"}
    assert run("--version").output == f"gateway, version {__version__}\n"


def test_check_says_what_works(upstream: Upstream, directory: Path) -> None:
    upstream.script = answers({"data": [{"id": "gpt-4o"}]})
    result = run("check", API_KEY=VARIABLES["API_KEY"], MODEL_NAME="gpt-4o", OPENAI_BASE_URL=upstream.base_url)
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "ok      configuration: environment only",
        "ok      tokenizers: cl100k_base and o200k_base",
        f"ok      ledger: will be made in {directory}/data",
        f"ok      counters: embedded, in {directory}/data",
        "ok      provider openai: answers",
        "ok      model gpt-4o: goes to openai/gpt-4o",
    ]


def test_check_fails_where_there_can_be_no_ledger(directory: Path) -> None:
    (directory / "file").touch()
    result = run("check", **VARIABLES, DATA_DIR="file")
    assert result.exit_code == 1
    assert f"failed  ledger: {directory}/file is no directory that can be written" in result.stdout


def test_check_reads_the_ledger(directory: Path, ledger_file: Path) -> None:
    run("limits", "set", "global", "usd/day", "1")
    assert f"ok      ledger: in {directory}/data; keys: 0, limits: 1" in run("check", **VARIABLES).stdout
    ledger_file.write_bytes(b"nothing of the kind")
    result = run("check", **VARIABLES)
    assert (result.exit_code, "failed  ledger: the ledger cannot be read" in result.stdout) == (1, True)


def test_check_reads_the_ledger_in_postgresql_and_tells_nothing_of_its_address(postgres: str) -> None:
    variables = {**VARIABLES, "DATABASE_URL": postgres.replace("postgres@", "postgres:s3cret-pass@")}
    assert run("limits", "set", "global", "usd/day", "1", **variables).exit_code == 0
    assert "ok      ledger: in PostgreSQL; keys: 0, limits: 1" in run("check", **variables).stdout
    variables["DATABASE_URL"] = "postgresql://u:s3cret-pass@127.0.0.1:1/x"
    result = run("check", **variables)
    assert result.exit_code == 1
    assert "failed  ledger: PostgreSQL: Connection refused" in result.stdout
    assert "s3cret" not in result.output


def of_cache(**variables: str) -> str:
    result = run("check", **VARIABLES, CACHE_TTL="60", **variables)
    assert result.exit_code == 0, "the service works without it"
    return next(line for line in result.stdout.splitlines() if "cache:" in line)


def test_check_looks_at_the_cache_and_makes_nothing(directory: Path) -> None:
    assert of_cache() == f"ok      cache: embedded, in {directory}/data; answers are kept for 60 s"
    assert list(directory.iterdir()) == []
    with RedisServer(directory) as server:
        assert of_cache(REDIS_URL=server.url) == "ok      cache: Redis; answers are kept for 60 s"
        assert "ok      counters: Redis\n" in run("check", **VARIABLES, REDIS_URL=server.url).stdout
    assert (
        of_cache(REDIS_URL=server.url)
        == "warning cache: Redis: every request goes to a provider: Redis: ConnectionError"
    )


def test_check_tells_nothing_of_a_redis_that_nobody_can_use() -> None:
    result = run("check", **VARIABLES, CACHE_TTL="60", REDIS_URL="redis://h/0?S3cret=Pw0rd")
    assert result.stdout.count("REDIS_URL has an option that is unknown or misspelt") == 2
    assert "S3cret" not in result.output


def test_check_doubts_a_model_that_the_provider_does_not_list_or_nobody_prices(upstream: Upstream) -> None:
    upstream.script = answers({"data": [{"id": "gpt-4o"}]})
    result = run("check", API_KEY=VARIABLES["API_KEY"], MODEL_NAME="openai/ours", OPENAI_BASE_URL=upstream.base_url)
    assert result.exit_code == 0
    assert result.stdout.splitlines()[-2:] == [
        "warning model openai/ours: openai does not list 'ours'",
        "warning model openai/ours: openai/ours has no price, so its cost will not be known",
    ]


@pytest.mark.parametrize("model", ["ecko", "echo?tokens=x"])
def test_check_fails_where_the_built_in_provider_has_no_such_model(model: str) -> None:
    result = run("check", API_KEY=VARIABLES["API_KEY"], MODEL_NAME=f"offline/{model}")
    assert result.exit_code == 1
    assert f"failed  provider offline: The model 'offline/{model}' does not exist." in result.stdout


def test_check_fails_where_a_provider_does_and_goes_on_to_the_next() -> None:
    result = run("check", **VARIABLES, OPENAI_BASE_URL="http://127.0.0.1:1/v1", ADMIN_KEY="x")
    assert result.exit_code == 1
    assert "warning configuration: ADMIN_KEY is set, but this version does not act on it yet" in result.stdout
    assert (
        "failed  provider openai: The provider 'openai' cannot be reached. http://127.0.0.1:1/v1/models: [Errno 111]"
        in result.stdout
    )
    assert "ok      provider offline: built in" in result.stdout


def test_check_names_every_mistake_of_the_configuration(directory: Path) -> None:
    (directory / "gateway.yaml").write_text("providers: {p: {kind: nope}}")
    result = run("check", PORT="x")
    assert result.exit_code == 1
    assert [line.split(":")[0].split()[-1] for line in result.stderr.splitlines()] == [
        "API_KEY", "PORT", "gateway.yaml",
    ]  # fmt: skip


def test_check_names_a_provider_that_cannot_be_called(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*settings: object) -> None:
        raise ValueError("its text may quote a secret")

    monkeypatch.setitem(registry.OF_API, "openai", refuse)
    result = run("check", **VARIABLES, OPENAI_API_KEY="k-0123456789")
    assert (result.exit_code, result.stderr) == (1, "failed  providers.openai: cannot be called: ValueError\n")


def test_check_names_a_default_model_that_does_not_exist() -> None:
    result = run("check", API_KEY="k", MODEL_NAME="nope/x")
    assert (result.exit_code, "MODEL_NAME: there is no model 'nope/x'" in result.stderr) == (1, True)


def test_check_names_the_file_where_its_default_model_does_not_exist(directory: Path) -> None:
    (directory / "gateway.yaml").write_text("default_model: nope/x")
    result = run("check", API_KEY="k")
    assert (result.exit_code, "gateway.yaml: default_model: there is no model" in result.stderr) == (1, True)


def test_schema_prints_the_json_schema_of_the_file() -> None:
    assert json.loads(run("schema").stdout) == json_schema()


def test_init_writes_a_fresh_key_that_only_its_owner_can_read(directory: Path) -> None:
    assert run("init").exit_code == 0
    first = (directory / ".env").read_text()
    assert stat.S_IMODE((directory / ".env").stat().st_mode) == 0o600
    key, model = first.splitlines()
    assert len(key.removeprefix("API_KEY=")) == 43
    assert model == "MODEL_NAME=offline/echo"
    run("init")
    assert (directory / ".env").read_text() == first, "what is there stays"
    (directory / ".env").unlink()
    run("init")
    assert (directory / ".env").read_text() != first


def test_init_adds_only_what_is_missing(directory: Path) -> None:
    (directory / ".env").write_text("OPENAI_API_KEY=sk-1")
    run("init", MODEL_NAME="gpt-4o")
    lines = (directory / ".env").read_text().splitlines()
    assert lines[0] == "OPENAI_API_KEY=sk-1"
    assert [line.partition("=")[0] for line in lines] == ["OPENAI_API_KEY", "API_KEY"]
    run("init", **VARIABLES)
    assert (directory / ".env").read_text().splitlines() == lines


def test_init_leaves_the_model_to_a_file_that_has_a_default_one(directory: Path) -> None:
    (directory / "gateway.yaml").write_text("default_model: fast")
    run("init")
    assert "MODEL_NAME" not in (directory / ".env").read_text()


def test_init_closes_a_file_that_others_could_read(directory: Path) -> None:
    (directory / ".env").write_text("PORT=8001\n")
    (directory / ".env").chmod(0o644)
    run("init")
    assert stat.S_IMODE((directory / ".env").stat().st_mode) == 0o600


def test_init_does_not_touch_a_file_that_it_cannot_read(directory: Path) -> None:
    (directory / ".env").write_text("not a variable\n")
    result = run("init")
    assert (result.exit_code, (directory / ".env").read_text()) == (1, "not a variable\n")
    assert ".env: line 1" in result.stderr


def test_wrong_usage_exits_with_2() -> None:
    assert run("nonsense").exit_code == 2
