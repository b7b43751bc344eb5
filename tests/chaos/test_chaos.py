"""A whole system of real processes under kill -9: what was promised still holds. See docs/explanation/reliability.md."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from config.home import PROJECT_DIR
from core.kernel.faultpoints import POINTS
from tests.chaos import janitor
from tests.chaos.machine import machine, pace, wait_for
from tests.chaos.running import KILLED_ELSEWHERE

# What settings of this process would send a run to the servers of the tests.
NOT_PASSED_ON = ("CRM_HOME", "DATABASE_URL", "REDIS_URL", "DJANGO_SETTINGS_MODULE", "CRM_FAULT_PLAN")


def environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in NOT_PASSED_ON}


def run(tmp_path: Path, *arguments: str, seconds: int = 900) -> dict[str, Any]:
    """A run as a process of its own, which ends with this one; its report."""
    report = tmp_path / "report.json"
    with subprocess.Popen(
        [sys.executable, "-m", "tests.chaos", "--with-parent", "--report", str(report), *arguments],
        cwd=PROJECT_DIR,
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            # Read beside the open standard input, whose end would end the run.
            assert process.stdout is not None
            said = process.stdout.read()
            process.wait(timeout=seconds)
        finally:
            process.kill()
    print(said)
    assert report.exists(), said[-6_000:]
    found: dict[str, Any] = json.loads(report.read_text())
    return found


def held(report: dict[str, Any]) -> None:
    """Nothing promised was broken, every invariant was seen to fail on purpose, every fault point was passed."""
    assert report["broken"] == {}, f"seed {report['seed']}"
    assert report["toothless"] == [], "invariants that cannot fail"
    assert set(report["hits"]) == {
        point for point in POINTS if point.partition(".")[0] not in KILLED_ELSEWHERE
    }


def test_promises_hold_in_a_short_run(tmp_path: Path) -> None:
    held(run(tmp_path))


@pytest.mark.long
def test_promises_hold_in_a_long_run(tmp_path: Path) -> None:
    held(run(tmp_path, "--long"))


@pytest.mark.long
@pytest.mark.parametrize(
    ("seed", "phase", "found"),
    [
        ("lazy_commits", "API", {"acknowledged writes lost"}),
        ("forgetful_answers", "API", {"acknowledged writes doubled"}),
        ("ignored_lease", "jobs", {"jobs without exactly one effect, and the reverse"}),
        # It depends on the moment which job a kill meets: one of a single effect, or one of many steps.
        (
            "early_end",
            "jobs",
            {
                "jobs without exactly one effect, and the reverse",
                "steps of long jobs that were not done exactly once",
            },
        ),
    ],
)
def test_a_fault_in_the_system_is_found(seed: str, phase: str, found: set[str], tmp_path: Path) -> None:
    """The whole way, from a wrong line of code (or setting) to a broken promise in the report."""
    report = run(tmp_path, "--seeded", seed, "--phases", phase, "--seed", "1")
    assert found & set(report["broken"]), report


def test_a_run_that_is_killed_leaves_nothing() -> None:
    """Servers, processes and files of a run go when the run is killed, whatever it was at."""
    code = (
        "import sys, time\n"
        "from tests.chaos.machine import Machine\n"
        "made = Machine({})\n"
        "made.start_servers()\n"
        "made.start('sleeper', 'timeit', '-n', '1', '-s', 'import time', 'time.sleep(600)')\n"
        "print(made.base, flush=True)\n"
        "time.sleep(600)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=PROJECT_DIR, env=environment(), stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        base = Path(process.stdout.readline().strip())
        sleeper = int((base / "home" / "pids" / "sleeper").read_text().split()[0])
        assert janitor.start_time(sleeper)
        process.kill()
    wait_for(
        "nothing is left",
        lambda: not base.exists() and not janitor.start_time(sleeper) and not _users_of(base),
    )


def _users_of(base: Path) -> list[str]:
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if str(base).encode() in (folder / "cmdline").read_bytes() or os.readlink(
                folder / "cwd"
            ).startswith(str(base)):
                found.append(folder.name)
        except OSError:
            continue
    return found


def test_a_machine_comes_back_from_every_kill() -> None:
    """The faults themselves do what they say, and the servers answer again afterwards."""
    with machine(CHAOS_SEEDED="") as system:
        system.start_servers()
        with system.superuser(autocommit=True) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 1 AS x")
            before = system.servers.status()
        system.kill_postgres()
        started = time.monotonic()
        with system.superuser() as connection:
            assert connection.execute("SELECT x FROM kept").fetchone() == (1,)
        system.kill_backend()
        system.kill_redis()
        after = system.servers.status()
        assert all(old.pid != new.pid and new.pid for old, new in zip(before, after, strict=True))
        assert time.monotonic() - started < 60 * pace()
    assert not system.base.exists()
