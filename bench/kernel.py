"""What the kernel knows of this machine and of processes, read from /proc."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

_TICKS = os.sysconf("SC_CLK_TCK")  # a second; a figure is as fine as one of them, mostly 10 ms


class Cpu(NamedTuple):
    """Seconds of a core, in the processes' own code and in the kernel on their behalf."""

    user: float
    system: float


def cpu(pids: Sequence[int]) -> Cpu:
    """What these processes have used since they began, all together.

    Raises:
        FileNotFoundError: one of them has ended.
    """
    fields = [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in pids]
    return Cpu(sum(int(each[11]) for each in fields) / _TICKS, sum(int(each[12]) for each in fields) / _TICKS)


def memory(pid: int) -> dict[str, float]:
    """Megabytes: `pss` shares what several processes map among them, `private` is what its end would free."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    kilobytes = {name: int(rest.split()[0]) for name, _, rest in (line.partition(":") for line in lines)}
    private = kilobytes["Private_Clean"] + kilobytes["Private_Dirty"]
    return {"pss": kilobytes["Pss"] / 1024, "rss": kilobytes["Rss"] / 1024, "private": private / 1024}


def children(pid: int) -> tuple[int, ...]:
    return tuple(int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split())


def machine() -> str:
    """One line: the processor, what runs on it, and how busy it is now."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine())
    versions = ", ".join(f"{name} {version(name)}" for name in ("gevent", "gunicorn"))
    return (
        f"{model}, {os.cpu_count()} cores, Python {platform.python_version()}, {versions}, "
        f"load average {os.getloadavg()[0]:.2f}"
    )
