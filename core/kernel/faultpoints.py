"""Named places where a chaos run may kill the process. They cost one test of a constant and do nothing otherwise.

`CRM_FAULT_PLAN` names a file with lines `point pass`: whichever process makes that pass of the point (all processes of the
system are counted together) kills itself there. A line is used up by its kill, which is noted in `<plan>.hits`, so that a
report can prove that it happened there; lines may be added while the system runs.
"""

from __future__ import annotations

import fcntl
import os
import signal
from pathlib import Path

POINTS: set[str] = set()

_plan = os.environ.get("CRM_FAULT_PLAN")


def declare(*points: str) -> None:
    """Make the points known, so that a chaos run can enumerate them."""
    POINTS.update(points)


def fault(point: str) -> None:
    """Die here (SIGKILL) when the plan says so."""
    if _plan is not None and _is_last_pass(Path(_plan), point):
        os.kill(os.getpid(), signal.SIGKILL)


def plan_kills(plan: Path, *lines: str) -> None:
    """Add lines to a plan that processes may be reading."""
    with plan.open("a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write("".join(f"{line}\n" for line in lines))


def _is_last_pass(plan: Path, point: str) -> bool:
    """Count this pass; whether the plan's count for the point is now used up."""
    if not plan.exists():
        return False
    with plan.open("r+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        lines = [(name, int(count)) for name, count in (line.split() for line in file if line.strip())]
        place = next((number for number, (name, _) in enumerate(lines) if name == point), None)
        if place is None:
            return False
        remaining = lines[place][1] - 1
        lines[place : place + 1] = [(point, remaining)] if remaining else []
        file.seek(0)
        file.truncate()
        file.write("".join(f"{name} {count}\n" for name, count in lines))
        if not remaining:
            with Path(f"{plan}.hits").open("a") as hits:
                hits.write(point + "\n")
        return not remaining
