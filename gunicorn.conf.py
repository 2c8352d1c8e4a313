"""Gunicorn's settings: `gunicorn wsgi:app` reads this file by default, at start and again on SIGHUP."""

import atexit
import os
import pathlib
import shutil
import signal
import sys
import tempfile

if not any("gthread" in word for word in (*sys.argv, os.environ.get("GUNICORN_CMD_ARGS", ""))):
    from gevent import monkey

    monkey.patch_all()  # before anything imports ssl, or https calls end in a RecursionError


def _remove(directory, owner):
    if os.getpid() == owner:  # workers inherit the master's exit handlers
        shutil.rmtree(directory, ignore_errors=True)


_STOP = {signal.SIGTERM, signal.SIGQUIT, signal.SIGINT}


def _end_on_signals():
    for number in _STOP:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOP)


# prometheus_client decides where it keeps its values when it is imported; on SIGHUP this file is read once more.
if "prometheus_client" not in sys.modules:
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = tempfile.mkdtemp(prefix="llm-gateway-metrics-")
    atexit.register(_remove, os.environ["PROMETHEUS_MULTIPROC_DIR"], os.getpid())
    # Until it has set up its own handlers, a new worker would take a signal as the master does, into a queue that
    # nobody reads, and a stop during start would wait for the whole graceful timeout. Nothing of it is served yet.
    os.register_at_fork(
        before=lambda: signal.pthread_sigmask(signal.SIG_BLOCK, _STOP),
        after_in_parent=lambda: signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOP),
        after_in_child=_end_on_signals,
    )

from prometheus_client import multiprocess  # noqa: E402

from gateway import master  # noqa: E402
from gateway.telemetry import logs  # noqa: E402

_settings = master.settings()

bind = f"[{_settings.host}]:{_settings.port}" if ":" in _settings.host else f"{_settings.host}:{_settings.port}"
workers = _settings.workers
worker_class = "gevent"
worker_connections = 2000
threads = 200  # of a gthread worker
keepalive = 5
graceful_timeout = _settings.graceful_timeout
control_socket_disable = True
logconfig_dict = logs.logging_config(_settings)

# Nothing in a header may change where a request goes.
forwarder_headers = ""
header_map = "refuse"
limit_request_line = 4094
limit_request_fields = 64
limit_request_field_size = 8190

when_ready = master.greet


def pre_fork(server, worker):
    pathlib.Path(os.environ["PROMETHEUS_MULTIPROC_DIR"]).mkdir(exist_ok=True)  # without it no worker could boot


def child_exit(server, worker):
    multiprocess.mark_process_dead(worker.pid)
