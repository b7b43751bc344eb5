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
    if _plan is not None:
        _pass(Path(_plan), point)


def plan_kills(plan: Path, *lines: str) -> None:
    """Add lines to a plan that processes may be reading."""
    with plan.open("a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write("".join(f"{line}\n" for line in lines))


def _pass(plan: Path, point: str) -> None:
    """Count this pass, and die if it uses up the plan's count for the point."""
    if not plan.exists():
        return
    with plan.open("r+b", buffering=0) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        known = file.read()
        lines = [
            (name, int(count))
            for name, count in (line.split() for line in known.decode().splitlines() if line)
        ]
        place = next((number for number, (name, _) in enumerate(lines) if name == point), None)
        if place is None:
            return
        remaining = lines[place][1] - 1
        lines[place : place + 1] = [(point, remaining)] if remaining else []
        changed = "".join(f"{name} {count}\n" for name, count in lines).encode()
        # In one go and no shorter than before, so that a process killed here by others leaves the plan whole.
        file.seek(0)
        file.write(changed.ljust(len(known), b"\n"))
        if not remaining:
            with Path(f"{plan}.hits").open("a") as hits:
                hits.write(point + "\n")
            # Before the lock is given back: another thread of this process must not be at the plan when it dies.
            os.kill(os.getpid(), signal.SIGKILL)
