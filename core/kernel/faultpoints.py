"""Named places where a chaos run may kill the process. They cost one dictionary look-up and do nothing otherwise.

`CRM_FAULT_PLAN` names a file with lines `point pass`: the process kills itself on that pass of that point. Each hit is
appended to `<plan>.hits`, so that a report can prove the kill really happened there.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

POINTS: set[str] = set()
_passes: dict[str, int] = {}


def _read_plan() -> dict[str, int]:
    path = os.environ.get("CRM_FAULT_PLAN")
    if not path or not Path(path).exists():
        return {}
    return {
        name: int(count)
        for name, count in (line.split() for line in Path(path).read_text().splitlines() if line)
    }


_plan = _read_plan()


def declare(*points: str) -> None:
    """Make the points known, so that a chaos run can enumerate them."""
    POINTS.update(points)


def fault(point: str) -> None:
    """Die here (SIGKILL) when the plan says so."""
    if not _plan or point not in _plan:
        return
    _passes[point] = _passes.get(point, 0) + 1
    if _passes[point] == _plan[point]:
        with Path(os.environ["CRM_FAULT_PLAN"] + ".hits").open("a") as hits:
            hits.write(point + "\n")
            hits.flush()
            os.fsync(hits.fileno())
        os.kill(os.getpid(), signal.SIGKILL)
