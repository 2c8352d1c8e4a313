"""The agents: where they come from, and how each runs by itself, at home in a folder of its own, through a gateway."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from string import Template

import click

from bench.agents.fakes import FILE, PROMPT

_CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
FOLDER = Path(os.environ.get("BENCH_AGENTS") or _CACHE / "llm-gateway-agents")
_INSTALLED = "installed-version"  # a file that is there once an installation is whole
_SECONDS = 180  # of a run

MODELS = {"anthropic": "claude-opus-5-5", "openai": "gpt-5.5"}  # as agents ask for them, by vendor


@dataclass(frozen=True, slots=True)
class Run:
    """How a run ended: its exit status, None if it had to be ended, and what it wrote."""

    exit: int | None
    said: str
    complained: str


@dataclass(frozen=True, slots=True)
class Agent:
    """An agent, and a way to set it up; `$` words are `url` (the gateway's), `key`, `model` and `home` (its folder).

    Attributes:
        package: npm's.
        vendor: whose dialect it speaks.
        model: that it asks for, by default.
        command: its arguments, before the prompt.
        elsewhere: further ones where another vendor answers.
        files: what to write below its home.
    """

    name: str
    package: str
    version: str
    executable: str
    vendor: str
    command: tuple[str, ...]
    model: str = ""
    elsewhere: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)

    @property
    def native(self) -> str:
        """The model that it asks for where its own vendor answers."""
        return self.model or MODELS[self.vendor]

    @property
    def folder(self) -> Path:
        return FOLDER / self.executable

    def install(self) -> None:
        """Install it, unless it is there in this version.

        Raises:
            ClickException: it could not be.
        """
        marker = self.folder / _INSTALLED
        if marker.exists() and marker.read_text() == self.version:
            return
        click.echo(f"Installing {self.package} {self.version} into {self.folder} …", err=True)
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        npm = ["npm", "install", "--no-audit", "--no-fund", "--loglevel=error", f"{self.package}@{self.version}"]
        try:
            subprocess.run(npm, cwd=self.folder, check=True, stdout=subprocess.DEVNULL)  # noqa: S603
        except (OSError, subprocess.CalledProcessError) as error:
            raise click.ClickException(f"{self.package} {self.version} could not be installed: {error}") from error
        marker.write_text(self.version)

    def run(self, home: Path, url: str, key: str, model: str, word: str) -> Run:
        """Have it tell which word a file in its working directory holds.

        Args:
            home: is made; all that it writes is there.
            word: that the file is to hold.
        """
        (home / "work").mkdir(parents=True)
        (home / "work" / FILE).write_text(f"{word}\n")
        words = {"url": url, "key": key, "model": model, "home": str(home)}
        for name, text in self.files.items():
            (home / name).parent.mkdir(parents=True, exist_ok=True)
            (home / name).write_text(Template(text).substitute(words))
        extra = self.elsewhere if model != self.native else ()
        arguments = [Template(word).substitute(words) for word in (*self.command, *extra)]
        own = {name: Template(value).substitute(words) for name, value in self.environment.items()}
        nowhere = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9")  # it reaches us, and nobody else
        return _run(
            [str(self.folder / "node_modules" / ".bin" / self.executable), *arguments, PROMPT],
            home / "work",
            {"PATH": os.environ["PATH"], "HOME": str(home), **nowhere, "NO_PROXY": "127.0.0.1", **own},
        )


def _run(command: list[str], folder: Path, environment: dict[str, str]) -> Run:
    process = subprocess.Popen(  # noqa: S603 - the command is our own
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        said, complained = process.communicate(timeout=_SECONDS)
        return Run(process.returncode, said, complained)
    except subprocess.TimeoutExpired:
        _end(process)
        return Run(None, *process.communicate())
    finally:
        _end(process)  # what it left running


def _end(process: subprocess.Popen[str]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


_OPENAI_ELSEWHERE = 'openai_base_url = "$url/v1"\n'  # tries a WebSocket first
_PROVIDER = """\
model_provider = "gateway"
[model_providers.gateway]
name = "gateway"
base_url = "$url/v1"
env_key = "GATEWAY_KEY"
wire_api = "responses"
"""


def _codex(name: str, model: str, config: str) -> Agent:
    return Agent(
        name,
        "@openai/codex",
        "0.171.0",
        "codex",
        "openai",
        ("exec", "-m", "$model", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox"),
        model,
        elsewhere=("-c", 'web_search="disabled"', "-c", "features.multi_agent=false"),  # OpenAI's own tools
        environment={"CODEX_HOME": "$home/.codex", "GATEWAY_KEY": "$key", "CODEX_API_KEY": "$key"},
        files={".codex/config.toml": f"{config}[analytics]\nenabled = false\n"},
    )


def _opencode(vendor: str, library: str) -> Agent:
    model = {"name": "$model", "tool_call": True, "reasoning": True, "limit": {"context": 200000, "output": 32000}}
    options = {"baseURL": "$url/v1", "apiKey": "$key"}
    provider = {"npm": library, "name": "gateway", "options": options, "models": {"$model": model}}
    settings = {"autoupdate": False, "share": "disabled", "permission": "allow", "enabled_providers": ["gateway"]}
    off = ("MODELS_FETCH", "AUTOUPDATE", "LSP_DOWNLOAD", "DEFAULT_PLUGINS")
    return Agent(
        f"opencode-{vendor}",
        "opencode-ai",
        "1.18.33",
        "opencode",
        vendor,
        ("run", "-m", "gateway/$model"),
        environment={f"OPENCODE_DISABLE_{what}": "1" for what in off},
        files={".config/opencode/opencode.json": json.dumps({**settings, "provider": {"gateway": provider}})},
    )


AGENTS = (
    Agent(
        "claude",
        "@anthropic-ai/claude-code",
        "2.1.332",
        "claude",
        "anthropic",
        ("-p", "--model", "$model", "--dangerously-skip-permissions"),
        environment={
            "ANTHROPIC_BASE_URL": "$url",
            "ANTHROPIC_API_KEY": "$key",
            "ANTHROPIC_AUTH_TOKEN": "of-something-else",  # it sends both
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            "DISABLE_AUTOUPDATER": "1",
            "IS_SANDBOX": "1",  # else root may not skip permissions
        },
    ),
    _codex("codex", MODELS["openai"], _PROVIDER),
    # A model whose one tool runs JavaScript, and is an item of the input.
    _codex("codex-code-mode", "gpt-6.1-sol", _OPENAI_ELSEWHERE),
    _opencode("anthropic", "@ai-sdk/anthropic"),
    _opencode("openai", "@ai-sdk/openai-compatible"),
)
