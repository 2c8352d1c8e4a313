"""What the kernel knows of this machine and of processes."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path

_LOOP = 20_000  # steps of the fixed work that tells how fast a core is now
_LOOPS = 400  # a quarter of a second


def cpu(pids: Iterable[int]) -> float:
    """Seconds of a core that these processes have used since they began, all threads together.

    From each process's CPU clock, which the kernel keeps in nanoseconds; `/proc/PID/stat` has ticks of 10 ms, and
    `/proc/PID/schedstat` one thread.

    Raises:
        OSError: one of them has ended.
    """
    return sum(time.clock_gettime_ns(~pid << 3 | 2) for pid in pids) / 1e9  # what clock_getcpuclockid(3) gives


def memory(pid: int) -> dict[str, float]:
    """Megabytes: `pss` shares what several processes map among them, `private` is what its end would free."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    kilobytes = {name: int(rest.split()[0]) for name, _, rest in (line.partition(":") for line in lines)}
    private = kilobytes["Private_Clean"] + kilobytes["Private_Dirty"]
    return {"pss": kilobytes["Pss"] / 1024, "rss": kilobytes["Rss"] / 1024, "private": private / 1024}


def children(pid: int) -> tuple[int, ...]:
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return tuple(int(child) for task in tasks for child in (task / "children").read_text().split())


def family(pid: int) -> tuple[int, ...]:
    """The process, its children and theirs."""
    return (pid, *(member for child in children(pid) for member in family(child)))


def loop_us(core: int) -> float:
    """Microseconds of a fixed piece of pure Python on this core: the best of many, the least disturbed. A core that was
    idle is slow for up to a tenth of a second."""
    own = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        return min(_loop() for _ in range(_LOOPS)) * 1e6
    finally:
        os.sched_setaffinity(0, own)


def _loop() -> float:
    begun, total = time.thread_time(), 0
    for step in range(_LOOP):
        total += step & 7
    return time.thread_time() - begun


def machine() -> str:
    """One line: the processor, what runs on it, and how busy it is now."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine())
    versions = ", ".join(f"{name} {version(name)}" for name in ("gevent", "gunicorn"))
    return (
        f"{model}, {os.cpu_count()} cores, Python {platform.python_version()}, {versions}, "
        f"load average {os.getloadavg()[0]:.2f}"
    )
