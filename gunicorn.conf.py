"""Gunicorn's settings: `gunicorn wsgi:app` reads this file by default, at start and again on SIGHUP."""

import atexit
import gc
import os
import signal
import sys

if not any("gthread" in word for word in (*sys.argv, os.environ.get("GUNICORN_CMD_ARGS", ""))):
    from gevent import monkey

    monkey.patch_all()  # before anything imports ssl, or https calls end in a RecursionError

from gateway.telemetry import metric_files

_STOP = {signal.SIGTERM, signal.SIGQUIT, signal.SIGINT}


def _end_on_signals():
    for number in _STOP:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOP)


def _remove_metrics(master):
    if os.getpid() == master:  # workers inherit the master's exit handlers
        metric_files.remove()


if not metric_files.directory():  # on SIGHUP this file is read once more
    metric_files.open_directory()
    atexit.register(_remove_metrics, os.getpid())
    # Until it has set up its own handlers, a new worker would take a signal as the master does, into a queue that
    # nobody reads, and a stop during start would wait for the whole graceful timeout. Nothing of it is served yet.
    os.register_at_fork(
        before=lambda: signal.pthread_sigmask(signal.SIG_BLOCK, _STOP),
        after_in_parent=lambda: signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOP),
        after_in_child=_end_on_signals,
    )

from gateway.server import arbiter, master  # noqa: E402
from gateway.server import worker as our_worker  # noqa: E402
from gateway.telemetry import logs  # noqa: E402

_settings = master.settings()
_memory = "/dev/shm"  # noqa: S108 - Gunicorn unlinks its files there as it makes them
our_worker.install()


def _at(port):
    return f"[{_settings.host}]:{port}" if ":" in _settings.host else f"{_settings.host}:{port}"


bind = [_at(_settings.port), *([_at(_settings.metrics_port)] if _settings.metrics_port else [])]
workers = _settings.workers
worker_class = "gevent"
worker_connections = master.most_connections()
threads = max(1, min(200, worker_connections // 2))  # of a gthread worker
worker_tmp_dir = _memory if os.access(_memory, os.W_OK) else None  # a sign of life must not wait for a disk
keepalive = 5
graceful_timeout = _settings.graceful_timeout
control_socket_disable = True
logger_class = our_worker.Logger
logconfig_dict = logs.logging_config(_settings)

# Nothing in a header may change where a request goes.
forwarded_allow_ips = ",".join(str(network) for network in _settings.trusted_proxies)
forwarder_headers = ""
header_map = "refuse"
limit_request_line = 4094
limit_request_fields = 64
limit_request_field_size = 8190

on_starting = arbiter.Master.take_over
when_ready = master.greet
pre_request = our_worker.before_request
post_worker_init = our_worker.begin


def pre_fork(server, worker):
    worker.slot = metric_files.reserve({sibling.slot for sibling in server.WORKERS.values()})
    if worker.slot is None:
        server.log.warning("no room for a worker's metrics in %s: /metrics leaves it out", metric_files.directory())


def post_fork(server, worker):
    gc.freeze()  # to look through what the master has made would copy it
    metric_files.use(worker.slot)


def worker_exit(server, worker):
    if worker.pid != os.getpid():
        return  # Gunicorn calls it in the master too, for workers that it did not see die
    if os.getppid() != worker.ppid:  # the master is dead and cannot
        metric_files.remove()
    our_worker.leave(worker)


def child_exit(server, worker):
    metric_files.release(worker.slot)
