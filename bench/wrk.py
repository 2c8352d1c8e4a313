"""Load by wrk, where it is installed: it costs the load's core a tenth of what our own does."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from pathlib import Path

from bench.load import Call, Figures

PATH = shutil.which("wrk")
_SCRIPT = Path(__file__).with_suffix(".lua")
_GRACE = 30  # seconds until the last answers must be there


def drive(call: Call, connections: int, seconds: float, mark: str = "") -> Figures:
    """Keep `connections` calls under way for `seconds`, then wait for the last answers.

    Args:
        mark: the header that should be `hit` in each answer, if any.

    Raises:
        OSError: wrk failed.
    """
    with tempfile.TemporaryDirectory(prefix="bench-wrk-") as directory:
        parts = [Path(directory, name) for name in ("before", "after")]
        for part, content in zip(parts, call.halves(), strict=True):
            part.write_bytes(content)
        options = [f"-c{connections}", f"-d{int(seconds) + _GRACE}s", f"--timeout={_GRACE}s", f"-s{_SCRIPT}", call.url]
        words = [*map(str, parts), str(connections), str(seconds), mark]
        done = subprocess.run(  # noqa: S603 - the command is our own
            [PATH or "wrk", "-t1", *options, "--", *words], capture_output=True, text=True, check=False
        )
    if done.returncode:
        raise OSError(f"wrk: {done.stderr or done.stdout}")
    told = json.loads(done.stdout.splitlines()[-1])
    errors = {"status other than 200": told.pop("refused"), "connection broken or silent": told.pop("broken")}
    return Figures(**told, errors={what: count for what, count in errors.items() if count})
