"""Planned kills of a chaos run: what a process that dies leaves of the plan."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from config.home import PROJECT_DIR
from core.kernel.faultpoints import plan_kills

_THREADS = """
import threading
from core.kernel.faultpoints import fault
gate = threading.Barrier(4)
def work(point):
    gate.wait()
    for _ in range(200):
        fault(point)
for number in range(4):
    threading.Thread(target=work, args=("first" if number == 0 else "second",)).start()
"""


def run(plan: Path, code: str) -> int:
    environment = {**os.environ, "CRM_FAULT_PLAN": str(plan)}
    done = subprocess.run([sys.executable, "-c", code], cwd=PROJECT_DIR, env=environment, check=False)
    return done.returncode


def test_a_pass_that_the_plan_names_is_the_last(tmp_path: Path) -> None:
    plan = tmp_path / "plan"
    plan_kills(plan, "there 10")
    code = "from core.kernel.faultpoints import fault\nfor number in range({}): fault('there'); fault('elsewhere')"
    assert run(plan, code.format(9)) == 0
    assert plan.read_text().split() == ["there", "1"], "all processes are counted together"
    assert run(plan, code.format(9)) == -signal.SIGKILL
    assert plan.read_text().split() == []
    assert plan.with_name("plan.hits").read_text().split() == ["there"]
    assert run(plan, code.format(9)) == 0


@pytest.mark.parametrize("attempt", range(8))
def test_threads_of_a_process_that_dies_leave_the_plan_whole(tmp_path: Path, attempt: int) -> None:
    plan = tmp_path / "plan"
    plan_kills(plan, f"first {20 + attempt}", "second 5000", "third 1")
    assert run(plan, _THREADS) == -signal.SIGKILL
    left = plan.read_text().split()
    assert (left[0], left[2:]) == ("second", ["third", "1"])
    plan_kills(plan, "fourth 2")
    assert plan.read_text().split()[-2:] == ["fourth", "2"]
