"""What an operator may say, and one clear line for each thing said wrong."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest

from gateway.config import ConfigError, Settings, load
from gateway.config.secrets import Redactor
from gateway.config.settings import SLOW_CLIENTS
from gateway.config.vendors import VENDORS

MakeSettings = Callable[..., Settings]

# The example of the contract, as an operator would copy it.
EXAMPLE = """
default_model: fast
providers:
  openai:  {kind: openai, base_url: https://api.openai.com/v1, api_key: ${OPENAI_API_KEY},
            timeouts: {connect: 2, first_byte: 120, idle: 120, total: 600},
            proxy: http://egress:3128, headers: {x-team: platform}}
  local:   {kind: openai, base_url: http://127.0.0.1:8080/v1}     # vLLM, llama.cpp, Ollama, …
  claude:  {kind: anthropic, api_key: ${ANTHROPIC_API_KEY}}
  gemini:  {kind: gemini, api_key: ${GEMINI_API_KEY}}
  offline: {kind: offline}
models:
  fast:
    targets:
      - {provider: openai, model: gpt-4o-mini, weight: 3}
      - {provider: local,  model: qwen3-8b,    weight: 1}
    fallback: [smart]
    max_output_tokens: 4096
    affinity: session
    on_unsupported: drop
    strict: false
  smart:
    targets: [{provider: claude, model: claude-sonnet-4-5}]
  priced-by-us:
    targets: [{provider: local, model: tiny}]
    price: {input: 0.10, cached_input: 0.05, output: 0.40}
cache: {ttl: 300}
retry: {attempts: 3, budget_percent: 10}
breaker: {failures: 5, open_seconds: 2}
"""
KEYS = {"OPENAI_API_KEY": "sk-a#b: {c}", "ANTHROPIC_API_KEY": "sk-ant", "GEMINI_API_KEY": "gm"}


def mistakes(make_settings: MakeSettings, yaml: str | None = None, **variables: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        make_settings(yaml, **variables)
    return caught.value.mistakes


def test_the_whole_example_file_is_understood(make_settings: MakeSettings) -> None:
    settings = make_settings(EXAMPLE, MODEL_NAME="", **KEYS)
    assert settings.default_model == "fast"
    assert list(settings.providers) == ["openai", "local", "claude", "gemini", "offline", "anthropic"]
    openai = settings.providers["openai"]
    assert [key.reveal() for key in openai.api_keys] == ["sk-a#b: {c}"], "its characters change nothing in the file"
    assert openai.timeouts.total == 600
    assert [target.weight for target in settings.models["fast"].targets] == [3, 1]
    assert settings.cache_ttl == 300
    assert settings.models["priced-by-us"].price == {
        "input": Decimal("0.1"),
        "cached_input": Decimal("0.05"),
        "output": Decimal("0.4"),
    }


def test_settings_without_effect_in_this_version_are_named(make_settings: MakeSettings) -> None:
    settings = make_settings(EXAMPLE, ADMIN_KEY="x", **KEYS)
    named = {warning.partition(" is set,")[0] for warning in settings.warnings if " is set," in warning}
    assert named == {"ADMIN_KEY"}


def test_the_environment_wins_over_dotenv_and_over_the_file(make_settings: MakeSettings, tmp_path: Path) -> None:
    settings = make_settings(
        "default_model: offline/file\nproviders: {openai: {kind: openai, api_key: from-file}}",
        dotenv="PORT=1111\nMODEL_NAME=offline/dotenv\nOPENAI_API_KEY=from-dotenv\n",
        PORT="2222",
        MODEL_NAME="",
    )
    assert settings.port == 2222
    assert settings.default_model == "offline/dotenv"
    assert [key.reveal() for key in settings.providers["openai"].api_keys] == ["from-dotenv"]


def test_a_reference_to_a_file_reads_it_without_its_last_newline(make_settings: MakeSettings, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("s3cret\n")
    settings = make_settings(f"providers: {{p: {{kind: openai, api_key: '${{file:{tmp_path}/key}}'}}}}")
    assert [key.reveal() for key in settings.providers["p"].api_keys] == ["s3cret"]


def test_several_keys_of_a_provider_are_separated_by_commas(make_settings: MakeSettings) -> None:
    settings = make_settings("providers: {p: {kind: openai, api_key: 'sk-1, ${B}'}}", B="sk-2,sk-3")
    assert [key.reveal() for key in settings.providers["p"].api_keys] == ["sk-1", "sk-2", "sk-3"]


def test_what_the_file_says_of_failures_and_overload_is_in_force(make_settings: MakeSettings) -> None:
    settings = make_settings(
        "retry: {budget_percent: 20}\nbreaker: {failures: 3}\noverload: {max_in_flight: 50}\n"
        "models: {m: {targets: [{provider: offline, model: echo}], affinity: none, retry_after_silence: true}}"
    )
    assert (settings.retry.attempts, settings.retry.budget_percent) == (3, 20)
    assert (settings.breaker.failures, settings.breaker.open_seconds) == (3, 2)
    assert (settings.overload.max_in_flight, settings.overload.limit_wait_seconds) == (50, 0)
    assert (settings.models["m"].affinity, settings.models["m"].retry_after_silence) == ("none", True)


@pytest.mark.parametrize("mark", ["\ue000999\ue001", "\\uE000999\\uE001", "\ue000" + "9" * 5000 + "\ue001"])
def test_characters_that_look_like_a_cut_reference_are_only_characters(mark: str, make_settings: MakeSettings) -> None:
    told = mistakes(make_settings, f'providers: {{p: {{kind: ollama, ca_bundle: "{mark}"}}}}')
    assert told[0].startswith("gateway.yaml: providers.p.ca_bundle: there is no readable file")


def test_a_reference_in_a_comment_is_no_reference(make_settings: MakeSettings) -> None:
    make_settings("# api_key: ${NOT_SET}\nproviders: {o: {kind: offline}}")


@pytest.mark.parametrize("name", VENDORS)
def test_a_vendor_is_usable_as_soon_as_its_key_or_address_is_set(name: str, make_settings: MakeSettings) -> None:
    env = VENDORS[name].env
    settings = make_settings(**{f"{env}_API_KEY": "k-123", f"{env}_BASE_URL": "http://127.0.0.1:9/v1/"})
    assert settings.providers[name].base_url == "http://127.0.0.1:9/v1"
    assert not settings.unconfigured
    assert name in make_settings(**{f"{env}_BASE_URL": "http://127.0.0.1:9/v1"}).providers


def test_without_any_provider_the_built_in_one_answers_and_a_warning_says_so(make_settings: MakeSettings) -> None:
    settings = make_settings(MODEL_NAME="gpt-4o")
    assert settings.unconfigured
    assert list(settings.providers) == ["offline"]
    assert "offline/echo answers every model name" in settings.warnings[0]


@pytest.mark.parametrize(
    ("variables", "yaml", "warning"),
    [
        ({"GUNICORN_CMD_ARGS": "-k gthread"}, "", SLOW_CLIENTS),
        ({"API_KEY": "short"}, "", "API_KEY: a key of fewer than 16 characters can be guessed"),
        (
            {"OPENAI_API_KEY": "k"},
            "",
            "offline/echo of the built-in provider answers where a request names no model; MODEL_NAME sets another",
        ),
        (
            {"MODEL_NAME": "offline/a"},
            "default_model: offline/b",
            "MODEL_NAME=offline/a wins over the file's default_model: offline/b",
        ),
    ],
)
def test_what_is_hardly_meant_is_warned_of(
    variables: dict[str, str], yaml: str, warning: str, make_settings: MakeSettings
) -> None:
    assert warning in make_settings(yaml, **variables).warnings


def test_an_empty_section_is_no_section(make_settings: MakeSettings) -> None:
    assert make_settings("providers:\nmodels:\n").unconfigured


def test_a_directory_in_the_files_place_is_a_mistake(make_settings: MakeSettings, tmp_path: Path) -> None:
    (tmp_path / "gateway.yaml").mkdir()
    assert mistakes(make_settings) == ["gateway.yaml: cannot be read: Is a directory"]


def test_several_client_keys_are_separated_by_commas(make_settings: MakeSettings) -> None:
    assert [key.reveal() for key in make_settings(API_KEY="one, two").api_keys] == ["one", "two"]


def test_no_default_model_at_all_gets_one_line(make_settings: MakeSettings) -> None:
    assert mistakes(make_settings, MODEL_NAME="")[0].startswith("MODEL_NAME: is not set, and no default_model")


@pytest.mark.parametrize(
    ("yaml", "line"),
    [
        ("a: [", "line 1, column 5: not valid YAML: expected the node content, but found '<stream end>'"),
        ("models: {}\nmodels: {}", 'line 2, column 1: not valid YAML: found duplicate key "models"'),
        ("- 1", "top level: must be a mapping with names such as 'providers' and 'models'"),
        ("modles: {}", "modles: unknown; known here: default_model, providers, models, cache, ledger, help_url, retry, breaker, overload"),
        ("providers: {a b: {kind: offline}}", "providers.a b: a provider's name holds letters, digits, '_', '.' and '-'"),
        ("providers: {p: {}}", "providers.p.kind: is required"),
        ("providers: {p: {kind: openai, api_key: ${NOPE}}}", "providers.p.api_key: the variable NOPE is not set"),
        ("providers: {p: {kind: openai, api_key: ${a b}}}", "providers.p.api_key: ${a b} is neither ${VARIABLE} nor ${file:/path}"),
        ("providers: {'${X}': {kind: offline}}", "providers: ${…} may stand in a value, not in a name"),
        (
            "providers: {p: {kind: openai, api_key: '${file:/nowhere/key}'}}",
            "providers.p.api_key: the file of ${file:/nowhere/key} cannot be read: No such file or directory",
        ),
        ("providers: {p: {kind: openai}}", "providers.p: openai needs an api_key"),
        ("providers: {p: {kind: openai, api_key: 'a,a'}}", "providers.p.api_key: holds an empty key, or the same one twice"),
        ("providers: {p: {kind: offline, base_url: http://x}}", "providers.p: kind offline takes no base_url"),
        ("providers: {p: {kind: ollama, answer: {tokens: 3}}}", "providers.p.answer: is for kind offline only"),
        ("providers: {p: {kind: ollama, ca_bundle: /nowhere}}", "providers.p.ca_bundle: there is no readable file of PEM certificates at '/nowhere'"),
        ("providers: {p: {kind: ollama, base_url: 'http://h/v1?a=1'}}", "providers.p.base_url: must not hold '?' or '#'"),
        ("providers: {p: {kind: ollama, headers: {Host: x}}}", "providers.p.headers.Host: is the gateway's to set"),
        ("providers: {p: {kind: ollama, headers: {x-a: 'b\\nc'}}}", None),
        ('providers: {p: {kind: ollama, headers: {x-a: "b\\nc"}}}', "providers.p.headers.x-a: may only hold visible ASCII characters"),
        (
            "providers: {p: {kind: ollama, timeouts: {total: 0}}}",
            "providers.p.timeouts.total: must be greater than 0 and less than or equal to 86400",
        ),
        (
            "models: {m: {targets: [{provider: offline, model: echo}], price: {input: 1e-19, output: 1}}}",
            "models.m.price.input: must have at most 12 decimals",
        ),
        ("models: {m: {targets: [{provider: offline, model: echo}], fallback: [offline]}}", "models.m.fallback[0]: there is no model 'offline'"),
        ("default_model: 2024-13-45", "not valid YAML: a value is not of the type that it is written as"),
        ("a: !!int abc", "not valid YAML: a value is not of the type that it is written as"),
        ("a: &a [*a]", "not valid YAML: an alias stands within its own anchor"),
        ("providers: {p: {kind: ollama, base_url: 'https://<resource>/v1'}}", "providers.p.base_url: must be an address such as https://host/v1"),
        ("providers: {p: {kind: ollama, base_url: 'http://.foo/v1'}}", "providers.p.base_url: must be an address such as https://host/v1"),
        ("providers: {p: {kind: ollama, headers: {x-a: ' b'}}}", "providers.p.headers.x-a: may only hold visible ASCII characters"),
        ("a: " + "[" * 5000, "not valid YAML: nested too deep"),
        ("models: {m: {targets: []}}", "models.m.targets: must not be empty"),
        ("models: {m: {targets: [{provider: q, model: z}]}}", "models.m.targets[0].provider: there is no provider 'q'"),
        (
            "models: {m: {targets: [{provider: offline, model: echo, weight: 1.5}]}}",
            "models.m.targets[0].weight: must be a whole number",
        ),
        ("models: {m: {targets: [{provider: offline, model: echo}], fallback: [m]}}", "models.m.fallback[0]: a model cannot fall back to itself"),
        ("models: {m: {targets: [{provider: offline, model: echo}], fallback: [n]}}", "models.m.fallback[0]: there is no model 'n'"),
        (
            "models: {m: {targets: [{provider: offline, model: echo}], price: {input: -1, output: 1}}}",
            "models.m.price.input: must be 0 to 1000000 USD per million tokens",
        ),
    ],
)  # fmt: skip
def test_a_mistake_in_the_file_gets_one_line_with_its_path(
    yaml: str, line: str | None, make_settings: MakeSettings
) -> None:
    if line is None:
        make_settings(yaml)
    else:
        assert mistakes(make_settings, yaml) == [f"gateway.yaml: {line}"]


@pytest.mark.parametrize(
    ("host", "address", "own"),
    [
        ("127.0.0.1", "http://127.0.0.1:8000/v1", True),
        ("0.0.0.0", "http://localhost:8000/v1", True),
        ("::", "http://[::1]:8000/v1", True),
        ("10.0.0.5", "http://10.0.0.5:8000/v1", True),
        ("10.0.0.5", "http://127.0.0.1:8000/v1", False),
        ("127.0.0.1", "http://127.0.0.1:8001/v1", False),
        ("127.0.0.1", "http://10.0.0.5:8000/v1", False),
    ],
)
def test_the_gateway_is_no_provider_of_its_own(host: str, address: str, own: bool, make_settings: MakeSettings) -> None:
    def make() -> list[str]:
        try:
            make_settings(OPENAI_BASE_URL=address, HOST=host, PORT="8000")
        except ConfigError as error:
            return error.mistakes
        return []

    assert ["own address" in line for line in make()] == [True] * own


def test_all_mistakes_are_told_at_once(make_settings: MakeSettings) -> None:
    told = mistakes(make_settings, "providers: {p: {kind: nope}}\ncache: {ttl: -1}", PORT="x", LOG_LEVEL="y")
    assert [line.partition(": ")[0] for line in told] == ["LOG_LEVEL", "PORT", "gateway.yaml", "gateway.yaml"]


def test_a_broken_line_of_dotenv_is_named(make_settings: MakeSettings) -> None:
    with pytest.raises(ConfigError, match=r"\.env: line 2: not of the form NAME=value"):
        make_settings(dotenv="PORT=1\nthis is no line\n")


def test_a_mistake_does_not_quote_what_a_reference_brought_in(make_settings: MakeSettings) -> None:
    told = mistakes(make_settings, "providers: {p: {kind: ollama, ca_bundle: '${TOKEN}'}}", TOKEN="s3cret-token-value")
    assert told == ["gateway.yaml: providers.p.ca_bundle: there is no readable file of PEM certificates at '[secret]'"]


def test_a_proxys_credentials_are_secrets_in_every_form(make_settings: MakeSettings) -> None:
    settings = make_settings("providers: {p: {kind: ollama, proxy: 'http://user:p%40ssword1@proxy:3128'}}")
    redactor = Redactor(settings.secrets)
    for form in ("p@ssword1", "user:p@ssword1", "dXNlcjpwQHNzd29yZDE="):
        assert redactor.finds(form), form


def test_settings_never_show_a_secret_when_printed(make_settings: MakeSettings) -> None:
    settings = make_settings(EXAMPLE, METRICS_TOKEN="metrics-token", **KEYS)
    for secret in ("test-key-0123456789", "sk-a#b", "metrics-token", "egress"):
        assert secret not in repr(settings)


def test_the_real_environment_and_directory_are_the_default(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("API_KEY", "from-the-environment")
    monkeypatch.setenv("MODEL_NAME", "offline/echo")
    assert load().api_keys[0].reveal() == "from-the-environment"
