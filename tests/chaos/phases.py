"""What a run does to the system while it works: one function for each kind of load, with its faults in a seeded order."""

from __future__ import annotations

import itertools
import json
import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import connection
from django.utils import timezone
from redis import Redis

from core.jobs.operations import NewJob, enqueue_many
from core.kernel.faultpoints import plan_kills
from core.kernel.transactions import unit_of_work
from core.tenancy.context import company_context
from tests.chaos.ledger import Api, Ledger, Witness, Writer
from tests.chaos.machine import Machine, pace, wait_for
from tests.worlds import World

IMPORT_POINTS = (
    "import.stage.before_commit",
    "import.stage.after_commit",
    "import.chunk.before_insert",
    "import.chunk.after_insert",
    "import.chunk.before_commit",
    "import.chunk.after_commit",
)
BEFORE_COMMIT, AFTER_COMMIT = "request.before_commit", "request.after_commit"
JOB_POINTS = (
    "job.claimed",
    "job.before_commit",
    "job.after_commit",
    "stream.before_call",
    "stream.before_offset",
    "stream.after_offset",
    "purge.before_commit",
)
BOUNDARY = "chaos"
# The database is asked for after a second of it.
OUTAGE_SECONDS = 2.5
# Longer than the lease of a job and the sweep after it, on a machine of common pace.
SLOW_SECONDS = 3


@dataclass(frozen=True)
class Size:
    """How much a form of the run does."""

    writers: int
    postgres_kills: int
    backend_kills: int
    web_kills: int
    request_kills: int
    keys: int
    duplicates: int
    revoked_uses: int
    rows: int
    import_kills: int
    child_kills: int
    worker_kills: int
    jobs: int
    redis_kills: int
    flushes: int
    job_kills: int
    between: float


# Each kind of fault and each named point once; the outages at the phases' ends are the kills of the servers.
SHORT = Size(
    writers=2,
    postgres_kills=0,
    backend_kills=1,
    web_kills=0,
    request_kills=1,
    keys=10,
    duplicates=8,
    revoked_uses=50,
    rows=2_500,
    import_kills=1,
    child_kills=1,
    worker_kills=1,
    jobs=20,
    redis_kills=0,
    flushes=1,
    job_kills=1,
    between=0.3,
)
LONG = Size(
    writers=4,
    postgres_kills=7,
    backend_kills=2,
    web_kills=6,
    request_kills=4,
    keys=200,
    duplicates=20,
    revoked_uses=1_000,
    rows=50_000,
    import_kills=4,
    child_kills=8,
    worker_kills=6,
    jobs=400,
    redis_kills=3,
    flushes=3,
    job_kills=4,
    between=1.5,
)


@dataclass
class Run:
    """One run of the system under faults, and all that is known about it outside the database."""

    machine: Machine
    size: Size
    seed: int
    world: World
    bystander: World
    ledger: Ledger
    witness: Witness = field(default_factory=Witness)
    figures: dict[str, Any] = field(default_factory=dict)
    imported: list[str] = field(default_factory=list)
    bystander_before: dict[str, str] = field(default_factory=dict)
    purged: list[str] = field(default_factory=list)
    uses_after_revocation: int = 0
    health_in_outages: list[str] = field(default_factory=list)
    planned: list[str] = field(default_factory=list)
    # The slowest that the machine was seen to be; limits in seconds are multiplied by it.
    pace: float = 1.0

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.token = self.world.token("admin")

    def api(self) -> Api:
        return Api(self.machine.port, self.token, self.witness)

    def look_at_pace(self) -> None:
        self.pace = max(self.pace, pace())

    def kill_at(self, *lines: str) -> None:
        """Have processes die at these fault points."""
        plan_kills(self.machine.plan, *lines)
        self.planned += [line.split()[0] for line in lines]

    def suffer(self, name: str, fault: Callable[[], object]) -> None:
        """Break something, and note when."""
        self.witness.fault(name)
        fault()
        self.witness.fault(f"{name}: over")


# --- the API ---------------------------------------------------------------------------------------------------------


def api_phase(run: Run) -> None:
    """Writers with keys and retries while the database, its sessions and web workers are killed."""
    machine, size = run.machine, run.size
    writers = [
        Writer(f"w{run.seed}-{number}", run.api(), run.ledger, run.seed * 10 + number)
        for number in range(size.writers)
    ]
    started = time.monotonic()
    for writer in writers:
        writer.start()
    faults: list[tuple[str, Callable[[], object]]] = [
        *[("PostgreSQL killed", machine.kill_postgres)] * size.postgres_kills,
        *[("a database session killed", machine.kill_backend)] * size.backend_kills,
        *[("a web worker killed", lambda: _kill_web(run))] * size.web_kills,
        *[(f"web worker at {BEFORE_COMMIT}", lambda: _kill_web_at(run, BEFORE_COMMIT))] * size.request_kills,
    ]
    run.random.shuffle(faults)
    faults.insert(len(faults) // 2, ("PostgreSQL away", lambda: _outage(run)))
    _show("API", [name for name, _ in faults])
    for name, fault in faults:
        time.sleep(size.between * run.random.uniform(0.5, 1.5))
        run.look_at_pace()
        run.suffer(name, fault)
    time.sleep(size.between)
    for writer in writers:
        writer.stop()
    answers = [answer for answer in run.witness.answers if answer.at >= started]
    made = [answer.at for answer in answers if answer.method == "POST" and answer.is_definite]
    run.figures["API"] = {
        "seconds": round(time.monotonic() - started, 1),
        "faults": len(faults),
        "acknowledged": sum(1 for answer in answers if answer.status == 201),
        "refused": sum(1 for answer in answers if answer.status == 400),
        "replayed": sum(1 for answer in answers if "idempotency-replayed" in answer.headers),
        "answers 503": sum(1 for answer in answers if answer.status == 503),
        "connections lost": sum(1 for answer in answers if answer.status == 0),
        "longest gap": round(longest_gap(made), 2),
    }


def longest_gap(times: list[float]) -> float:
    ordered = sorted(times)
    return max((later - earlier for earlier, later in itertools.pairwise(ordered)), default=0.0)


def _kill_web(run: Run) -> None:
    run.machine.kill_child("web", run.random.randrange(2))
    _wait_for_web(run)


def _kill_web_at(run: Run, point: str) -> None:
    run.kill_at(f"{point} {run.random.randrange(1, 20)}")
    _wait_for_hits(run, point)
    _wait_for_web(run)


def _wait_for_web(run: Run) -> None:
    """Web workers die one by one: the next when both have started again."""

    def started() -> bool:
        said = (run.machine.home / "logs" / "web.log").read_text()
        ends = said.rfind("Shutting down granian")
        return all(
            said.rfind(f"Started worker-{number}")
            > max(ends, said.rfind(f"Spawning worker-{number} "), said.rfind(f"exit from worker-{number}"))
            for number in (1, 2)
        )

    time.sleep(1)
    wait_for("two web workers", started)


def _outage(run: Run) -> None:
    """The database stays away for a while, and the health endpoint says so in time."""

    def away() -> None:
        run.machine.kill_postgres(down=OUTAGE_SECONDS)

    killing = threading.Thread(target=away)
    killing.start()
    time.sleep(1)
    run.health_in_outages += _ask_health(run, "database")
    killing.join()


def _ask_health(run: Run, part: str) -> list[str]:
    """What is wrong with the health endpoint's answer while a part is away."""
    answer = run.api().send("GET", "monitoring/health/")
    if answer.status != 503 or answer.seconds > 5 * run.pace:
        return [f"health without {part}: {answer.status} after {answer.seconds:.1f} s {answer.lost}"]
    if answer.json.get("parts", {}).get(part, {}).get("ok", True) or "retry-after" not in answer.headers:
        return [f"health without {part} says {answer.json}"]
    return []


def _wait_for_hits(run: Run, point: str) -> None:
    """Planned kills are waited for, so that two of them do not fall together unseen."""
    wait_for(f"a kill at {point}", lambda: point not in run.machine.plan.read_text(), 30 * run.pace)


def duplicates_phase(run: Run) -> None:
    """Many clients send each request at once while web workers die: it happens once, and all get the same answer."""
    size = run.size
    run.kill_at(*[f"{AFTER_COMMIT} {1 + number}" for number in range(size.request_kills)])
    run.witness.fault("web worker under duplicates")
    clients = [run.api() for _ in range(size.duplicates)]
    keys = [f"burst{run.seed}-{number}" for number in range(size.keys)]
    for key in keys:
        run.ledger.intend(key)

    def send_all(client: Api) -> None:
        for key in keys:
            body = {"name": key, "number_of_employees": 1}
            run.ledger.acknowledge(key, client.definite("POST", "accounts/", body, key=key))

    started = time.monotonic()
    with ThreadPoolExecutor(size.duplicates) as pool:
        list(pool.map(send_all, clients))
    _wait_for_hits(run, AFTER_COMMIT)
    _wait_for_web(run)
    run.figures["duplicates"] = {
        "seconds": round(time.monotonic() - started, 1),
        "keys": size.keys,
        "sent": size.keys * size.duplicates,
    }


def revocation_phase(run: Run) -> None:
    """A key is taken back while others race with it: nothing that starts after the answer goes through."""
    admin = run.api()
    made = admin.definite("POST", "api-keys/", {"name": f"racing {run.seed}", "scopes": ["read:account"]})
    if made.status != 201:
        raise RuntimeError(f"no API key: {made.status} {made.body!r}")
    secret, key_id = made.json["key"], made.json["id"]
    revoked_at = threading.Event()
    counted: list[tuple[bool, int]] = []
    enough = size = run.size.revoked_uses

    def use() -> None:
        client = Api(run.machine.port, secret, run.witness, scheme="Api-Key")
        while sum(1 for after, _ in counted if after) < enough:
            after = revoked_at.is_set()
            counted.append((after, client.send("GET", "accounts/?page_size=1").status))

    threads = [threading.Thread(target=use, daemon=True) for _ in range(run.size.writers)]
    for thread in threads:
        thread.start()
    wait_for("the key is in use", lambda: sum(1 for _, status in counted if status == 200) >= 20)
    revoked = admin.definite("DELETE", f"api-keys/{key_id}/")
    revoked_at.set()
    for thread in threads:
        thread.join()
    if revoked.status not in (200, 204):
        raise RuntimeError(f"the key is not revoked: {revoked.status} {revoked.body!r}")
    run.uses_after_revocation = sum(1 for after, status in counted if after and status != 401)
    run.figures["revocation"] = {
        "uses before": sum(1 for _, status in counted if status == 200),
        "tries after": sum(1 for after, _ in counted if after),
        "successful after": run.uses_after_revocation,
        "asked": size,
    }


# --- imports -----------------------------------------------------------------------------------------------------------


def import_phase(run: Run) -> None:
    """A file is imported while its worker dies at every named point and at random moments.

    It goes on beside the other phases, so that it meets their faults too.
    """
    size, api = run.size, run.api()
    chance = random.Random(f"import {run.seed}")
    run.imported = [f"imported {run.seed} {number}" for number in range(size.rows)]
    text = "Name,Staff\n" + "".join(f"{name},{number}\n" for number, name in enumerate(run.imported))
    form = (
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="entity_type"\r\n\r\naccount\r\n'
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="field_mapping"\r\n\r\n'
        '{"Name": "name", "Staff": "number_of_employees"}\r\n'
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="rows.csv"\r\n'
        f"Content-Type: text/csv\r\n\r\n{text}\r\n--{BOUNDARY}--\r\n"
    ).encode()
    form_type = f"multipart/form-data; boundary={BOUNDARY}"
    uploaded = api.definite(
        "POST", "data-import/jobs/", form, key=f"upload{run.seed}", content_type=form_type
    )
    if uploaded.status != 201:
        raise RuntimeError(f"the upload is refused: {uploaded.body!r}")
    job = uploaded.json["id"]
    # Each point once early and then spread over the file.
    lines = [f"{point} {chance.randrange(1, 4)}" for _ in range(size.import_kills) for point in IMPORT_POINTS]
    _show("import", [*lines, *["a process of the worker killed"] * size.child_kills])
    run.kill_at(*lines)
    started = time.monotonic()
    if api.definite("POST", f"data-import/jobs/{job}/start/", {}, key=f"start{run.seed}").status != 202:
        raise RuntimeError("the import does not start")
    killed = 0
    ended = ("completed", "completed_with_errors", "failed", "canceled")
    while (state := api.definite("GET", f"data-import/jobs/{job}/").json)["status"] not in ended:
        if time.monotonic() - started > 240 * run.pace:
            raise TimeoutError(
                f"the import does not end: {state}; to come {run.machine.plan.read_text().split()}"
            )
        time.sleep(run.size.between * chance.uniform(0.3, 1.0))
        if killed < size.child_kills and state["status"] in ("validating", "importing"):
            killed += run.machine.kill_child("worker", chance.randrange(2))
    run.figures["import"] = {
        "seconds": round(time.monotonic() - started, 1),
        "rows": size.rows,
        "status": state["status"],
        "kills at points": len(lines),
        "killed": killed,
        "created": state["created_count"],
    }


# --- jobs and slots -------------------------------------------------------------------------------------------------------


def job_phase(run: Run) -> None:
    """Jobs and slots while Redis, workers and beats come and go."""
    machine, size, api = run.machine, run.size, run.api()
    started = time.monotonic()
    _make_bin(run, api)
    with machine.superuser() as connection_:
        connection_.execute("INSERT INTO chaos_setting VALUES ('company', %s)", [str(run.world.company.pk)])
    faults: list[tuple[str, Callable[[], object]]] = [
        *[("Redis killed, comes back empty", lambda: machine.kill_redis(down=0.5))] * size.redis_kills,
        *[("Redis flushed", lambda: _flush(machine))] * size.flushes,
        *[("worker killed", lambda: machine.restart("worker"))] * size.worker_kills,
        ("no beat for three slots, then two beats", lambda: _no_beat(run)),
    ]
    run.random.shuffle(faults)
    _show("jobs", [*[name for name, _ in faults], *JOB_POINTS])
    share = size.jobs // (len(faults) + 1)
    run.kill_at(*[f"{point} {run.random.randrange(1, 3)}" for point in JOB_POINTS * size.job_kills])
    for name, fault in faults:
        _enqueue(run, share)
        run.look_at_pace()
        time.sleep(size.between * run.random.uniform(0.3, 1.0))
        run.suffer(name, fault)
    _redis_outage(run, run.health_in_outages)
    _work_until_hit(run, api)
    # Also without a fault a job may outlast its lease, and now there are workers free to take it a second time.
    _enqueue(run, size.jobs - share * len(faults))
    run.witness.fault("the last")
    run.figures["jobs"] = {"seconds": round(time.monotonic() - started, 1), "faults": len(faults) + 1}


def _work_until_hit(run: Run, api: Api) -> None:
    """Planned kills need passes of their points: on a quick machine the work is over before the last of them."""
    deadline = time.monotonic() + 30 * run.pace
    for number in itertools.count(run.size.jobs):
        if not run.machine.plan.read_text().strip():
            return
        if time.monotonic() > deadline:
            raise TimeoutError(f"not hit: {run.machine.plan.read_text().split()}")
        _delete_one(run, api, number)
        # A slow machine still has enough to do.
        if _is_idle(run):
            _enqueue(run, 2)
        time.sleep(1)


def _is_idle(run: Run) -> bool:
    with run.machine.superuser() as connection_:
        found = connection_.execute("SELECT FROM core_job WHERE kind = 'chaos.once' AND state = 'open'")
        return found.fetchone() is None


def _redis_outage(run: Run, health: list[str]) -> None:
    """Without Redis writes go on, and the health endpoint says what is missing. It comes back empty."""
    run.witness.fault("Redis away")
    run.machine.end_redis()
    health += _ask_health(run, "redis")
    key = f"without-redis{run.seed}"
    run.ledger.intend(key)
    answer = run.api().definite("POST", "accounts/", {"name": key}, key=key)
    run.ledger.acknowledge(key, answer)
    if answer.seconds > 5 * run.pace:
        health.append(f"a write without Redis takes {answer.seconds:.1f} s")
    run.machine.servers.ensure_redis()


def _flush(machine: Machine) -> None:
    with Redis(unix_socket_path=str(machine.servers.home.redis_socket)) as client:
        client.flushall()


def _no_beat(run: Run) -> None:
    run.machine.kill("beat")
    time.sleep(3.2)
    for name in ("beat", "beat2"):
        run.machine.start_beat(name)


def _make_bin(run: Run, api: Api) -> None:
    """Deleted accounts, so that emptying the bin has something to do."""
    for number in range(12):
        _delete_one(run, api, number)


def _delete_one(run: Run, api: Api, number: int) -> None:
    key = f"bin{run.seed}-{number}"
    made = api.definite("POST", "accounts/", {"name": key}, key=key)
    api.definite("DELETE", f"accounts/{made.json['id']}/")
    run.purged.append(made.json["id"])


def _enqueue(run: Run, count: int) -> None:
    now = timezone.now()
    company_id = UUID(str(run.world.company.pk))
    connection.close_if_unusable_or_obsolete()
    with company_context(company_id), unit_of_work():
        # Of the few that are only there to be hit, none.
        slow = run.random.randrange(count) if count > 2 else None
        jobs = [
            NewJob(
                {"pause": SLOW_SECONDS * run.pace if number == slow else 0},
                due_at=now + timedelta(milliseconds=50 * number),
            )
            for number in range(count)
        ]
        enqueue_many(kind="chaos.once", jobs=jobs, now=now)
        enqueue_many(kind="chaos.chunks", jobs=[NewJob({})], now=now)
        enqueue_many(kind="chaos.purge", jobs=[NewJob({}, "bin")], now=now)


def _show(phase: str, plan: list[str]) -> None:
    print(f"plan of {phase}: {json.dumps(plan)}", flush=True)
