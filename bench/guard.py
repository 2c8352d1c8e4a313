"""A guard against a hot path that grows unnoticed: `python -m bench.guard`.

Counts the CPU instructions of fixed calls through the WSGI application, in one process and without sockets, and
compares them with those in guard.json beside this file. Every instruction of the process counts, the ledger's writer
included; what the kernel does for it does not. Needs valgrind, whose callgrind does the counting.
"""

from __future__ import annotations

import argparse
import cProfile
import gc
import io
import json
import os
import platform
import pstats
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

TOLERANCE = 0.05  # the same code differs by less than a hundredth from run to run
STORED = Path(__file__).with_name("guard.json")

_ROOT = Path(__file__).parents[1]
_MARK = "getloadavg"  # of the C library: called by nobody but us, it has callgrind write down what it has counted
_WARM_UP = 20  # calls of each scenario that are not counted
_IN_MEMORY = "/dev/shm"  # noqa: S108 - a directory of our own is made in it
_NUMBER = b"000000"  # in a body: replaced by another number in every request
_WRONG_KEY = "wrong-key-0123456789"


@dataclass(frozen=True, slots=True)
class Scenario:
    """One kind of call.

    Attributes:
        calls: how many are counted.
        body: of each.
        header: what every response has among its headers.
        status: and how its status begins.
        headers: of the request, beside those that all have; unless told otherwise, it is not for the cache.
    """

    calls: int
    body: bytes
    header: tuple[str, str]
    status: str = "200"
    headers: tuple[tuple[str, str], ...] = (("HTTP_CACHE_CONTROL", "no-store"),)


def _chat(**fields: Any) -> bytes:
    prompt = f"What does a gateway between applications and language models do? {_NUMBER.decode()}"
    messages = [{"role": "user", "content": prompt}]
    return json.dumps({"model": "openai/gpt-4o-mini", "messages": messages, "max_tokens": 500, **fields}).encode()


def _tool(number: int) -> dict[str, Any]:
    """One of an agent's tools, in 2.6 kB."""
    properties = {
        f"argument_{each}": {
            "type": ["string", "null"],
            "description": "What it is to look at; a path below the working directory, or a name that it knows. " * 2,
        }
        for each in range(9)
    }
    parameters = {"type": "object", "properties": properties, "required": [*properties], "additionalProperties": False}
    function = {"name": f"tool_{number}", "description": "Reads and writes files. " * 7, "parameters": parameters}
    return {"type": "function", "function": function}


_WHOLE, _EVENTS = ("Content-Type", "application/json"), ("Content-Type", "text/event-stream; charset=utf-8")
SCENARIOS = {
    "chat": Scenario(300, _chat(), _WHOLE),
    "cache-hit": Scenario(300, _chat().replace(_NUMBER, b""), ("x-gateway-cache", "hit"), headers=()),
    "stream": Scenario(100, _chat(stream=True), _EVENTS),
    "tools": Scenario(30, _chat(tools=[_tool(number) for number in range(48)]), _WHOLE),
    "refusal": Scenario(300, _chat(), _WHOLE, "401", (("HTTP_AUTHORIZATION", f"Bearer {_WRONG_KEY}"),)),
}


def main() -> None:
    """Compare, and exit with 1 where a scenario has grown; with `--worker`, be the process whose calls are counted."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.guard", description=__doc__.splitlines()[0] if __doc__ else ""
    )
    parser.add_argument("--save", action="store_true", help="store what is measured instead of comparing it")
    parser.add_argument("--profile", choices=SCENARIOS, help="show where this scenario's time goes, and count nothing")
    parser.add_argument("--worker", type=Path, metavar="DIRECTORY", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.worker:
        _work(asked.worker, asked.profile)
        return
    with tempfile.TemporaryDirectory(prefix="bench-guard-", dir=_memory()) as name:
        directory = Path(name)
        if asked.profile:
            _run(directory, options=["--profile", asked.profile])
            return
        measured = _measure(directory)
    build, known = _build(), json.loads(STORED.read_text(encoding="utf-8"))
    print(f"instructions a call, {build}")
    for name, figure in measured.items():
        print(f"{name:9} {figure:12,}")
    if asked.save:
        STORED.write_text(json.dumps(known | {build: measured}, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    elif build not in known:
        print("No figures are stored for this build of Python: make bench-guard OPTIONS=--save stores these.")
    else:
        grown, others = compared(known[build], measured)
        print("\n".join([*others, *grown] or [f"None differs from the stored figure by more than {TOLERANCE:.0%}."]))
        sys.exit(bool(grown))


def compared(stored: Mapping[str, int], measured: Mapping[str, int]) -> tuple[list[str], list[str]]:
    """What has grown by more than the tolerance, and what else is to be said: a line for each scenario."""
    grown, others = [], []
    for name, figure in measured.items():
        if name not in stored:
            others.append(f"{name}: no figure is stored; --save stores it")
            continue
        difference = figure / stored[name] - 1
        said = f"{name}: stored {stored[name]:,}, measured {figure:,}: {difference:+.1%}, tolerance {TOLERANCE:.0%}"
        if difference > TOLERANCE:
            grown.append(f"GROWN {said}")
        elif difference < -TOLERANCE:
            others.append(f"SHRUNK {said}; renew the stored figure with --save")
    return grown, others


def _build() -> str:
    """What the figures are good for: the same code takes other instructions in another Python."""
    optimized = "--enable-optimizations" in (sysconfig.get_config_var("CONFIG_ARGS") or "")
    version = f"{platform.python_implementation()} {platform.python_version()} {platform.machine()}"
    return f"{version}, {platform.python_compiler()}, {'optimized' if optimized else 'not optimized'} by profile"


def _memory() -> str | None:
    return _IN_MEMORY if os.access(_IN_MEMORY, os.W_OK) else None


def _measure(directory: Path) -> dict[str, int]:
    """The instructions of one call of each scenario."""
    valgrind = shutil.which("valgrind") or sys.exit("bench-guard counts with valgrind, which is not installed")
    counts = directory / "counts"
    options = ["--quiet", "--tool=callgrind", f"--dump-before={_MARK}", f"--callgrind-out-file={counts}"]
    _run(directory, under=[valgrind, *options])
    ends = {name: 2 * number for number, name in enumerate(SCENARIOS, 1)}  # those between are of the warm-ups
    return {name: _counted(Path(f"{counts}.{end}")) // SCENARIOS[name].calls for name, end in ends.items()}


def _run(directory: Path, under: Sequence[str] = (), options: Sequence[str] = ()) -> None:
    """Have a process of its own make the calls, `under` another program."""
    command = [*under, sys.executable, "-m", "bench.guard", "--worker", str(directory), *options]
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(_ROOT), "PYTHONHASHSEED": "0"}
    done = subprocess.run(command, cwd=directory, env=environment, stdout=subprocess.DEVNULL, check=False)  # noqa: S603
    if done.returncode:
        sys.exit("the calls did not come to their end")


def _counted(dump: Path) -> int:
    """The instructions since the mark before this one."""
    lines = dump.read_text(encoding="utf-8").splitlines()
    return int(next(line for line in reversed(lines) if line.startswith("totals: ")).split()[1])


def _work(directory: Path, profile: str | None) -> None:
    from gateway.telemetry import metric_files

    metric_files.open_directory()  # before prometheus_client is imported: metrics are counted in files, as in a worker
    try:
        metric_files.use(metric_files.reserve(()))
        app, key = _app(directory, exact=not profile)
        for name, scenario in SCENARIOS.items():
            if profile in (None, name):
                _count(app, key, scenario, profiled=bool(profile))
    finally:
        metric_files.remove()


def _app(directory: Path, exact: bool) -> tuple[WSGIApplication, str]:
    """The application with its stores in `directory`, and a virtual key with one limit of each kind.

    Args:
        directory: new.
        exact: end this process where tokens would be estimated, which costs less than to count them.
    """
    from bench.stub import send
    from gateway.accounting import reports, tokens
    from gateway.app import create_app
    from gateway.config import load
    from gateway.policy import directory as policies
    from gateway.policy import keys
    from gateway.providers.http import Transport
    from gateway.stores.ledger.opening import open_ledger
    from gateway.telemetry import logs

    Transport.send = send  # type: ignore[method-assign, assignment]
    policies._LOOK_EVERY *= 10  # it goes by the clock, and under valgrind, on a busy machine, calls take a hundredfold
    variables = {"API_KEY": "the-operators-0123456789", "MODEL_NAME": "openai/gpt-4o-mini", "CACHE_TTL": "3600"}
    variables |= {"OPENAI_API_KEY": "the-providers-0123456789", "DATA_DIR": str(directory)}
    settings = load(variables, directory)
    if exact and not tokens.load(settings.tokenizer_dir).exact:
        sys.exit("bench-guard needs the tokenizer files, which make tokenizers brings")
    database, _ = open_ledger(None, directory)
    database.prepare()
    limits = {"requests/minute": "1000000", "tokens/hour": "1000000000", "concurrency": "1000", "usd/month": "1000000"}
    made, *others = database.transact(
        [
            partial(keys.create_key, tenant="default", now_ms=time.time_ns() // 1_000_000),
            *(
                partial(reports.set_limit, subject="tenant:default", rate=rate, value=value, mode="hard")
                for rate, value in limits.items()
            ),
        ]
    )
    for error in [each.error for each in (made, *others) if each.error]:
        raise error
    database.close()
    logs.configure(settings)
    return create_app(settings), made.result


def _count(app: WSGIApplication, key: str, scenario: Scenario, profiled: bool) -> None:
    """Make the scenario's calls, after some that nobody counts. Raises ValueError where an answer is a wrong one."""
    requests = [
        {
            "REQUEST_METHOD": "POST", "PATH_INFO": "/v1/chat/completions", "RAW_URI": "/v1/chat/completions",
            "SCRIPT_NAME": "", "QUERY_STRING": "", "SERVER_PROTOCOL": "HTTP/1.1", "SERVER_NAME": "127.0.0.1",
            "SERVER_PORT": "8000", "CONTENT_TYPE": "application/json", "CONTENT_LENGTH": str(len(scenario.body)),
            "REMOTE_ADDR": f"10.0.{number >> 8}.{number & 255}",  # each may guess at keys, but not too often
            "HTTP_HOST": "127.0.0.1:8000", "HTTP_ACCEPT": "application/json", "HTTP_USER_AGENT": "bench-guard",
            "HTTP_AUTHORIZATION": f"Bearer {key}", **dict(scenario.headers),
            "wsgi.version": (1, 0), "wsgi.url_scheme": "http", "wsgi.errors": sys.stderr, "wsgi.run_once": False,
            "wsgi.multithread": True, "wsgi.multiprocess": True, "wsgi.input_terminated": True,
            "wsgi.input": io.BytesIO(scenario.body.replace(_NUMBER, b"%06d" % number)),
        }
        for number in range(_WARM_UP + scenario.calls)
    ]  # fmt: skip
    _serve(app, requests[:_WARM_UP])
    gc.collect()  # so that the collector's turns fall on the same calls in every run
    if profiled:
        profile = cProfile.Profile()
        told = profile.runcall(_serve, app, requests[_WARM_UP:])
        pstats.Stats(profile, stream=sys.stderr).sort_stats("tottime").print_stats()  # standard output has the log
    else:
        os.getloadavg()
        told = _serve(app, requests[_WARM_UP:])
        os.getloadavg()
    for status, headers in told:
        if not status.startswith(scenario.status) or scenario.header not in headers:
            raise ValueError(f"an answer that was not to be expected: {status} {headers}")


def _serve(app: WSGIApplication, requests: Iterable[dict[str, Any]]) -> list[list[Any]]:
    """Serve as a WSGI server does; the status and the headers of every answer."""
    told: list[list[Any]] = []

    def start_response(*status_and_headers: Any) -> Any:
        told.append([*status_and_headers])

    for environ in requests:
        parts: Any = app(environ, start_response)
        for _ in parts:
            pass
        parts.close()
    return told


if __name__ == "__main__":
    main()
