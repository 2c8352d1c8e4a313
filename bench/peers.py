"""The gateways that ours is measured beside: `python -m bench.peers` installs them, each into a folder of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from string import Template

import click

from bench.servers import Cores, Server, free_port, running

_CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
FOLDER = Path(os.environ.get("BENCH_PEERS") or _CACHE / "llm-gateway-bench")
_INSTALLED = "installed-version"  # a file that is there once an installation is whole


@dataclass(frozen=True, slots=True)
class Peer:
    """A gateway by others; `$` words are `folder`, `config`, `port` and `upstream` (an address).

    Attributes:
        packages: what to install: pip's requirements, or npm's packages and versions.
        command: starts it with one worker.
        config: its configuration file.
        chooses_port: it takes none, and says in its output which it has.
        headers, path, model, done: as of `Server`.
    """

    name: str
    version: str
    packages: tuple[str, ...] | Mapping[str, str]
    command: tuple[str, ...]
    config: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    chooses_port: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)
    path: str = "/v1/chat/completions"
    model: str = "gpt-4o-mini"
    done: bool = True

    @property
    def folder(self) -> Path:
        return FOLDER / self.name

    @property
    def installed(self) -> bool:
        marker = self.folder / _INSTALLED
        return marker.exists() and marker.read_text() == self.version

    def start(self, home: Path, cores: Cores, upstream: Server) -> AbstractContextManager[Server]:
        """It, working in `home`, which is made, on the gateway's core."""
        home.mkdir()
        port = free_port()
        words = {"folder": self.folder, "config": home / "config", "port": port, "upstream": upstream.url}

        def said(text: str) -> str:
            return Template(text).substitute(words)

        (home / "config").write_text(said(self.config))
        common = {"PATH": f"{self.folder}/bin:{os.environ['PATH']}", "OPENAI_API_KEY": "none"}
        environment = common | {name: said(value) for name, value in self.environment.items()}
        return running(
            self.name,
            [said(word) for word in self.command],
            home,
            cores.gateway,
            environment,
            None if self.chooses_port else port,
            headers={name: said(value) for name, value in self.headers.items()},
            path=self.path,
            model=self.model,
            done=self.done,
        )

    def install(self) -> None:
        """Raises CalledProcessError or OSError."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        if isinstance(self.packages, tuple):
            subprocess.run([sys.executable, "-m", "venv", self.folder], check=True)  # noqa: S603
            pip = [f"{self.folder}/bin/python", "-m", "pip", "--disable-pip-version-check", "--quiet"]
            subprocess.run([*pip, "install", *self.packages], check=True)  # noqa: S603
        else:
            wanted = {"private": True, "dependencies": self.packages, "overrides": self.packages}
            (self.folder / "package.json").write_text(json.dumps(wanted))
            npm = ["npm", "install", "--no-audit", "--no-fund", "--omit=dev", "--loglevel=error"]
            subprocess.run(npm, cwd=self.folder, check=True)  # noqa: S603
        (self.folder / _INSTALLED).write_text(self.version)


PEERS = (
    Peer(
        "litellm",
        "1.106.2",
        ("litellm[proxy]==1.106.2",),
        ("$folder/bin/litellm", "--config", "$config", "--num_workers", "1", "--host", "127.0.0.1", "--port", "$port"),
        """\
model_list:
  - model_name: gpt-4o-mini
    litellm_params: {model: openai/gpt-4o-mini, api_base: "$upstream/v1", api_key: none}
general_settings: {master_key: sk-bench}
""",
        {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR"},
        headers={"authorization": "Bearer sk-bench"},
    ),
    Peer(
        "mlflow",
        "3.17.2",
        ("mlflow[gateway]==3.17.2",),
        ("mlflow", "gateway", "start", "--config-path", "$config", "--port", "$port", "--workers", "1"),
        """\
endpoints:
  - name: gpt-4o-mini
    endpoint_type: llm/v1/chat
    model:
      {provider: openai, name: gpt-4o-mini, config: {openai_api_key: none, openai_api_base: "$upstream/v1"}}
""",
        {"DO_NOT_TRACK": "true", "MLFLOW_DISABLE_TELEMETRY": "true"},
        done=False,
    ),
    Peer(
        "portkey",
        "1.15.2",
        {"@portkey-ai/gateway": "1.15.2", "@hono/node-server": "1.14.0"},  # with newer ones its streams fail
        ("node", "$folder/node_modules/@portkey-ai/gateway/build/start-server.js", "--port=$port", "--headless"),
        headers={
            "authorization": "Bearer none",
            "x-portkey-provider": "openai",
            "x-portkey-custom-host": "$upstream/v1",
        },
    ),
    Peer(
        "tensorzero",
        "2026.6.0",
        ("tensorzero==2026.6.0",),
        (
            "$folder/bin/python",
            "-c",
            "import sys, time; from tensorzero.tensorzero import _start_http_gateway as start; "
            "gateway = start(config_file=sys.argv[1], clickhouse_url=None, postgres_url=None, valkey_url=None, "
            "async_setup=False); print(gateway.base_url, flush=True); time.sleep(10**7)",
            "$config",
        ),
        """\
[models.gpt-4o-mini]
routing = ["upstream"]
[models.gpt-4o-mini.providers.upstream]
type = "openai"
model_name = "gpt-4o-mini"
api_base = "$upstream/v1/"
api_key_location = "env::OPENAI_API_KEY"
""",
        {"TENSORZERO_DISABLE_PSEUDONYMOUS_USAGE_ANALYTICS": "1"},
        chooses_port=True,
        path="/openai/v1/chat/completions",
        model="tensorzero::model_name::gpt-4o-mini",
    ),
)


def main() -> None:
    """Install those that are not there yet; one that cannot be is named, and the others are installed all the same."""
    failed = []
    for peer in PEERS:
        if not peer.installed:
            click.echo(f"Installing {peer.name} {peer.version} into {peer.folder} …", err=True)
            try:
                peer.install()
            except (OSError, subprocess.CalledProcessError) as error:
                failed.append(f"{peer.name} {peer.version} could not be installed: {error}")
    if failed:
        raise SystemExit("\n".join(failed))


if __name__ == "__main__":
    main()
