"""Gunicorn's master process, where ours behaves otherwise: how it stops, reloads, and heals."""

from __future__ import annotations

import signal
import time

from gunicorn.arbiter import Arbiter

from gateway import draining
from gateway.config import snapshot
from gateway.server.worker import OurWorker

_PATIENCE = 10.0  # seconds in which workers should be up
_LAST_WORDS = 4  # seconds
_PAUSE = 1.0  # seconds before another worker is tried after one that could not start
_NO_CODE = -1  # no process ends with it


class Master(Arbiter):  # type: ignore[misc]
    """An arbiter that never stands still.

    Gunicorn's own waits on SIGHUP until the last old worker has finished, for as long as the longest call, and
    neither heals nor stops meanwhile; here workers that finish their last calls are merely no longer counted.
    """

    was_up = False
    _to_reload = False
    _reloaded = 0.0  # monotonic seconds

    @classmethod
    def take_over(cls, arbiter: Arbiter) -> None:
        """Make `arbiter`, which Gunicorn has built and not started, one of this class.

        Raises:
            SystemExit: it is to run workers that are not ours.
        """
        if not issubclass(arbiter.worker_class, OurWorker):
            raise SystemExit(f"worker class {arbiter.cfg.settings['worker_class'].get()}: must be gevent or gthread")
        arbiter.__class__ = cls

    def handle_term(self) -> None:
        """Answer 503 on readiness and serve on for the drain delay, then stop as Gunicorn does.

        A second SIGTERM ends the wait; SIGINT and SIGQUIT stop at once.
        """
        draining.begin()
        delay = snapshot.current().drain_delay
        self.log.info("draining: serving on for %d s", delay)
        until = time.monotonic() + delay
        while (left := until - time.monotonic()) > 0:
            for number in self.wait_for_signals(timeout=min(left, 1.0)):
                if number == signal.SIGTERM:
                    until = 0
                elif number in (signal.SIGINT, signal.SIGQUIT):
                    self.handle_quit()
                elif number == signal.SIGCHLD:
                    self.handle_chld()
            self.murder_workers()
            self.manage_workers()
        super().handle_term()

    def stop(self, graceful: bool = True) -> None:
        """Stop the workers; they get a moment more than they give their calls, to write down what they cut."""
        self.cfg.set("graceful_timeout", self.cfg.graceful_timeout + _LAST_WORDS)
        super().stop(graceful)

    def wait_for_signals(self, timeout: float | None = 1.0) -> list[int]:
        """The signals that came; several reloads are one, which waits until the workers of the last one are up, so
        that there are never more generations of them than one that starts."""
        signals: list[int] = super().wait_for_signals(timeout)
        others = [number for number in signals if number != signal.SIGHUP]
        self._to_reload |= len(others) < len(signals)
        starting = any(not (worker.is_up() or worker.retiring) for worker in self.WORKERS.values())
        if not self._to_reload or (starting and time.monotonic() < self._reloaded + _PATIENCE):
            return others
        self._to_reload, self._reloaded = False, time.monotonic()
        return [*others, signal.SIGHUP]

    def reload(self) -> None:
        """Start workers with the new configuration; the old ones leave as soon as these are up."""
        self.app.reload()
        self.setup(self.app)
        self.log.reopen_files()
        for worker in self.WORKERS.values():
            worker.retiring = True
        self.manage_workers()

    def manage_workers(self) -> None:
        """Keep as many workers as configured, not counting those on their way out, which leave as others are up."""
        current = [worker for worker in self._by_age() if not worker.retiring]
        for worker in current[self.num_workers :]:
            worker.retiring = True
        for _ in range(self.num_workers - len(current)):
            self.spawn_worker()
        serving = [worker for worker in self._by_age() if worker.is_up() and not worker.told][: self.num_workers]
        for worker in self._by_age():
            if worker.retiring and not worker.told and worker not in serving:
                worker.told = True
                self.kill_worker(worker.pid, signal.SIGTERM)

    def _by_age(self) -> list[OurWorker]:
        """All workers, the newest first."""
        return sorted(self.WORKERS.values(), key=lambda worker: worker.age, reverse=True)

    def reap_workers(self) -> None:
        """Bury dead workers. One that could not start ends the service only where none ever could."""
        if not self.was_up and any(worker.is_up() for worker in self.WORKERS.values()):
            self.was_up = True
            self.WORKER_BOOT_ERROR = self.APP_LOAD_ERROR = _NO_CODE
        starting = [worker.pid for worker in self.WORKERS.values() if not (worker.is_up() or worker.told)]
        super().reap_workers()
        if any(pid not in self.WORKERS for pid in starting):
            self.log.critical("a worker could not start; the next try is in %d s", _PAUSE)
            time.sleep(_PAUSE)
