"""A run from a migrated, empty system to its report."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from django.db import Error, connection, connections
from django.utils import timezone

from core.changes.stream import lag
from core.files.operations import sweep_files
from core.kernel.faultpoints import POINTS
from tests.chaos import invariants, phases, work
from tests.chaos.ledger import Api, Ledger, Witness
from tests.chaos.machine import Machine, wait_for
from tests.chaos.phases import LONG, SHORT, Run
from tests.worlds import make_world

SETTLED_WITHIN = 40
PHASES: dict[str, tuple[Callable[[Run], None], ...]] = {
    "API": (phases.api_phase, phases.duplicates_phase, phases.revocation_phase),
    "jobs": (phases.job_phase,),
}

# Rooms whose own tests kill a process at each of their points: tests/core/files/test_kills.py,
# tests/core/delivery/test_outbox.py, tests/audit/test_seals.py and tests/workflow/test_proofs.py.
KILLED_ELSEWHERE = frozenset({"file", "mail", "seal", "workflow"})


def go(system: Machine, is_long: bool, seed: int, wanted: set[str], started: float) -> dict[str, Any]:
    """Load, faults, peace, judgment. Raises when the system does not come to rest or a part ended by itself."""
    work.install()
    with system.superuser() as link:
        link.execute(work.TABLE)
        if system.environment["CHAOS_SEEDED"] == "lazy_commits":
            _be_lazy(system)
    world, bystander = make_world("acme"), make_world("globex")
    system.start_web()
    system.start_worker()
    system.start_beat()
    run = Run(
        system, LONG if is_long else SHORT, seed, world, bystander, Ledger(system.home / "ledger.jsonl")
    )
    _give_bystander_records(run)
    # What the start made (periodic jobs, their effects) is part of the state before.
    wait_for("the worker works", lambda: _is_settled(run))
    with system.superuser() as link:
        run.bystander_before = invariants.checksums(link, bystander.company.pk)
    run.figures["start"] = {"seconds": round(time.monotonic() - started, 1)}
    try:
        _work(run, wanted)
        restless = _settle(run)
        # What the clock does every hour: an upload that was undone leaves its bytes.
        run.figures["orphaned files"] = sweep_files(now=timezone.now())["orphaned"]
    except BaseException as error:
        _show_last(run)
        print(f"--- ended by {type(error).__name__}: {error}", flush=True)
        raise
    system.refuse_dead()
    broken = {name: found for name, found in invariants.judge(run, wanted).items() if found}
    if restless:
        broken["work that does not come to rest"] = restless
    teeth = invariants.toothless(run, wanted) if not broken else []
    hits = Counter(system.plan.with_name("plan.hits").read_text().split())
    if wanted == {"import", *PHASES}:
        unknown = sorted(
            point for point in POINTS - set(hits) if point.partition(".")[0] not in KILLED_ELSEWHERE
        )
        if unknown:
            broken["fault points that no plan names"] = unknown
    _add_lateness(run)
    return {
        "seed": seed,
        "seconds": round(time.monotonic() - started, 1),
        "pace": round(run.pace, 1),
        "figures": run.figures,
        "hits": dict(sorted(hits.items())),
        "invariants": len(invariants.INVARIANTS),
        "broken": {name: [len(found), *found[:5]] for name, found in broken.items()},
        "toothless": teeth,
    }


def _work(run: Run, wanted: set[str]) -> None:
    beside = Beside(run) if "import" in wanted else None
    for name, parts in PHASES.items():
        for part in parts if name in wanted else ():
            part(run)
            run.machine.refuse_dead()
            print(part.__name__, json.dumps(run.figures, default=str), flush=True)
    if beside is not None:
        beside.wait()


class Beside(threading.Thread):
    """The import, which goes on from the first phase to the last."""

    def __init__(self, run: Run) -> None:
        super().__init__(name="import", daemon=True)
        self._run = run
        self._error: Exception | None = None
        self.start()

    def run(self) -> None:
        try:
            phases.import_phase(self._run)
        except Exception as error:
            self._error = error

    def wait(self) -> None:
        """Until the import has ended. Raises what it ended with."""
        self.join()
        if self._error is not None:
            raise self._error


def _show_last(run: Run) -> None:
    """What the clients and the processes said last, for whoever looks into a run that did not end."""
    for answer in run.witness.answers[-10:]:
        print(answer.method, answer.path, answer.status, answer.lost, answer.body[:300])
    for log in sorted((run.machine.home / "logs").glob("*.log")):
        print(f"--- {log.name}", log.read_text(errors="replace")[-2_000:], sep="\n")


def _be_lazy(system: Machine) -> None:
    """The seeded fault of the database itself: it acknowledges commits that are not on disk."""
    with system.superuser(autocommit=True) as link:
        link.execute("ALTER SYSTEM SET synchronous_commit = off")
        link.execute("ALTER SYSTEM SET wal_writer_delay = '10s'")
        link.execute("SELECT pg_reload_conf()")


def _give_bystander_records(run: Run) -> None:
    witness = Witness()
    api = Api(run.machine.port, run.bystander.token("admin"), witness)
    wait_for("the web server answers", lambda: api.send("GET", "monitoring/health/?live=1").status == 200)
    for path, name in (("accounts", "name"), ("leads", "last_name"), ("contacts", "last_name")):
        for number in range(5):
            made = api.definite("POST", f"{path}/", {name: f"Bystander {number}"})
            if made.status != 201:
                raise RuntimeError(f"no bystander: {made.status} {made.body!r}")


def _is_settled(run: Run) -> bool:
    """Whether nothing is open: no job, no change unread by a consumer, no transaction that may still have an effect."""
    try:
        connection.close_if_unusable_or_obsolete()
        with run.machine.superuser() as link:
            open_jobs = link.execute("SELECT count(*) FROM core_job WHERE state = 'open'").fetchone()
            seen = link.execute("SELECT count(*) FROM core_heartbeat").fetchone()
            working = link.execute(
                "SELECT FROM pg_stat_activity WHERE xact_start < clock_timestamp() - interval '1 second' "
                "AND backend_type = 'client backend' AND pid <> pg_backend_pid()"
            ).fetchone()
        return (
            open_jobs == (0,)
            and seen == (2,)
            and working is None
            and not any(entry.entries for entry in lag(now=timezone.now()))
        )
    except Error:
        return False


def _settle(run: Run) -> list[str]:
    """No more faults; the slots are made up for and stop, so that the queue can become empty. Returns what is left open."""
    left: list[str] = []
    started = time.monotonic()
    try:
        if "jobs" in run.figures:
            wait_for("slots of after the last fault", lambda: _slots_go_on(run), SETTLED_WITHIN * run.pace)
        with run.machine.superuser() as link:
            link.execute("DELETE FROM chaos_setting")
        wait_for("peace", lambda: _is_settled(run), SETTLED_WITHIN * run.pace)
    except TimeoutError as error:
        with run.machine.superuser() as link:
            stuck = link.execute(
                "SELECT kind, state, attempts, due_at, lease_until, error FROM core_job WHERE state = 'open'"
            ).fetchall()
        left = [
            str(error),
            *map(str, stuck),
            *[str(entry) for entry in lag(now=timezone.now()) if entry.entries],
        ]
    run.figures["settling"] = {"seconds": round(time.monotonic() - started, 1)}
    connections.close_all()
    return left


def _slots_go_on(run: Run) -> bool:
    """Whether each schedule has taken slots since the last fault, and enough of them that a lost one can be told."""
    since = time.monotonic() - run.witness.faults[-1][0]
    with run.machine.superuser() as link:
        found = link.execute(
            "SELECT count(*) FROM (SELECT max(due_at) AS last, count(*) AS slots FROM core_slot WHERE schedule = ANY(%s) "
            "GROUP BY schedule) s WHERE last > clock_timestamp() - %s * interval '1 second' AND slots >= 3",
            [list(work.SCHEDULES), since],
        ).fetchone()
    return found == (len(work.SCHEDULES),)


def _add_lateness(run: Run) -> None:
    if "jobs" not in run.figures:
        return
    with run.machine.superuser() as link:
        found = link.execute(f"SELECT count(*), max(late) FROM ({invariants.LATENESS}) x").fetchone()
        done = link.execute("SELECT kind, count(*) FROM chaos_effect GROUP BY 1").fetchall()
    assert found is not None
    run.figures["jobs"] |= {
        "effects": dict(done),
        "slots": found[0],
        "latest slot": round(float(found[1]), 1),
    }
