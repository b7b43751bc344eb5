"""What must be true at the end of a run. Each invariant answers what breaks it; nothing is what is wanted.

Beside each stands a violation of it, made in a transaction that is rolled back, so that every run also proves that each
invariant can be seen to fail.
"""

from __future__ import annotations

import copy
import dataclasses
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

from audit.models import AuditSeal
from core.files.blobs import MARKS
from core.files.models import StoredFile
from core.jobs.models import Job
from core.tenancy.guard import company_models
from tests.chaos.ledger import Answer
from tests.chaos.phases import Run, longest_gap
from tests.chaos.work import CHUNKS, SCHEDULES, SLOT_SECONDS

LONGEST_GAP = 10.0
LATEST = 60.0

Connection = psycopg.Connection[Any]
Check = Callable[[Connection, Run], list[str]]
Violation = Callable[[Connection, Run], object]


@dataclass(frozen=True)
class Invariant:
    name: str
    broken: Check
    violate: Violation
    # Which load it speaks about; it is checked when that was there.
    phase: str


INVARIANTS: list[Invariant] = []


def invariant(name: str, phase: str, violate: Violation) -> Callable[[Check], Check]:
    def registered(check: Check) -> Check:
        INVARIANTS.append(Invariant(name, check, violate, phase))
        return check

    return registered


def rows(connection: Connection, statement: str, *params: Any) -> list[tuple[Any, ...]]:
    return connection.execute(statement, params).fetchall()


def texts(connection: Connection, statement: str, *params: Any) -> list[str]:
    return [" ".join(str(value) for value in row) for row in rows(connection, statement, *params)]


def run_sql(*statements: str) -> Violation:
    """A violation by statements, past every trigger and constraint that would not let them through."""

    def violate(connection: Connection, run: Run) -> None:
        connection.execute("SET LOCAL session_replication_role = replica")
        for statement in statements:
            done = connection.execute(statement)
            assert done.rowcount, f"violates nothing: {statement}"

    return violate


# --- the API -----------------------------------------------------------------------------------------------------------

_LOSE = "DELETE FROM crm_account WHERE id = (SELECT id FROM crm_account WHERE name LIKE '{}' LIMIT 1)"


def copy_row(table: str, where: str, **changes: str) -> str:
    """A statement that doubles one row under a new id."""
    changed = ", ".join(
        f"'{name}', {value}" for name, value in {"id": "gen_random_uuid()", **changes}.items()
    )
    # Generated columns come by themselves; the rest is taken as it stands.
    return (
        f"DO $$ DECLARE names text; BEGIN SELECT string_agg(quote_ident(attname), ', ') INTO names FROM pg_attribute "
        f"WHERE attrelid = '{table}'::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = ''; "
        f"EXECUTE 'INSERT INTO {table} (' || names || ') SELECT ' || names || ' FROM (SELECT (jsonb_populate_record(a, "
        f"jsonb_build_object({changed.replace(chr(39), chr(39) * 2)}))).* FROM {table} a WHERE "
        f"{where.replace(chr(39), chr(39) * 2)} LIMIT 1) x'; END $$"
    )


def doubled(table: str, where: str) -> Violation:
    def violate(connection: Connection, run: Run) -> None:
        connection.execute("SET LOCAL session_replication_role = replica")
        connection.execute(copy_row(table, where))

    return violate


@contextmanager
def _names(connection: Connection, names: list[str]) -> Iterator[None]:
    connection.execute("CREATE TEMP TABLE expected (name text) ON COMMIT DROP")
    with connection.cursor().copy("COPY expected (name) FROM STDIN") as copied:
        for name in names:
            copied.write_row((name,))
    yield
    connection.execute("DROP TABLE expected")


def _answers(run: Run) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for line in run.ledger.lines():
        if "intent" in line:
            found.setdefault(line["intent"], [])
        else:
            found[line["answer"]].append(line)
    return found


def _counts(connection: Connection, run: Run, names: list[str]) -> dict[str, int]:
    with _names(connection, names):
        found = rows(
            connection,
            "SELECT e.name, count(a.id) FROM expected e LEFT JOIN crm_account a ON a.name = e.name AND a.company_id = %s "
            "GROUP BY e.name",
            run.world.company.pk,
        )
    return dict(found)


@invariant("acknowledged writes lost", "API", run_sql(_LOSE.format("w%-%")))
def acked_lost(connection: Connection, run: Run) -> list[str]:
    answered = {
        key: lines for key, lines in _answers(run).items() if any(line["status"] == 201 for line in lines)
    }
    with _names(connection, [f"{key} {line['id']}" for key, lines in answered.items() for line in lines]):
        return texts(
            connection,
            "SELECT name FROM expected EXCEPT SELECT name || ' ' || id FROM crm_account WHERE company_id = %s",
            run.world.company.pk,
        )


@invariant("acknowledged writes doubled", "API", doubled("crm_account", "a.name LIKE 'w%'"))
def acked_doubled(connection: Connection, run: Run) -> list[str]:
    counts = _counts(connection, run, list(_answers(run)))
    return [f"{key} stands {count} times" for key, count in counts.items() if count > 1]


@invariant(
    "refused writes present",
    "API",
    lambda connection, run: run.ledger._write(
        {"answer": _some_key(run), "status": 400, "id": None, "digest": ""}
    ),
)
def refused_present(connection: Connection, run: Run) -> list[str]:
    refused = [
        key for key, lines in _answers(run).items() if any(400 <= line["status"] < 500 for line in lines)
    ]
    return [key for key, count in _counts(connection, run, refused).items() if count]


def _some_key(run: Run) -> str:
    return next(
        line["answer"]
        for line in run.ledger.lines()
        if line.get("status") == 201 and line["answer"][0] == "w"
    )


@invariant(
    "requests without a definite answer", "API", lambda connection, run: run.ledger.intend("never sent")
)
def undecided(connection: Connection, run: Run) -> list[str]:
    return [key for key, lines in _answers(run).items() if not lines]


@invariant(
    "replays that differ from the first answer",
    "API",
    lambda connection, run: run.ledger._write(
        {"answer": _some_key(run), "status": 201, "id": None, "digest": "x"}
    ),
)
def replays_differ(connection: Connection, run: Run) -> list[str]:
    return [key for key, lines in _answers(run).items() if len({line["digest"] for line in lines}) > 1]


def _answered(status: int, content_type: str = "application/json") -> Violation:
    def violate(connection: Connection, run: Run) -> None:
        at = run.witness.answers[-1].at + 1_000
        run.witness.answers.append(
            Answer(at, "GET", "accounts/", status, 0.1, {"content-type": content_type, "retry-after": "1"})
        )

    return violate


@invariant("errors of the server other than 503 with Retry-After", "API", _answered(500))
def bad_answers(connection: Connection, run: Run) -> list[str]:
    return [
        f"{answer.method} {answer.path}: {answer.status} {dict(answer.headers)} {answer.body[:300]!r}"
        for answer in run.witness.answers
        if not answer.is_allowed and "health" not in answer.path
    ]


@invariant("failures long after every fault", "API", _answered(503, "application/problem+json"))
def late_failures(connection: Connection, run: Run) -> list[str]:
    faults = [at for at, _ in run.witness.faults]
    return [
        f"{answer.method} {answer.path}: {answer.status} {answer.lost}"
        for answer in run.witness.answers
        if (answer.status == 0 or answer.status >= 500)
        and not any(at - 0.1 <= answer.at <= at + LONGEST_GAP * run.pace + answer.seconds for at in faults)
    ]


@invariant(
    "gaps without any answer of more than 10 s",
    "API",
    lambda connection, run: run.figures["API"].update({"longest gap": 10.1 * run.pace}),
)
def long_gaps(connection: Connection, run: Run) -> list[str]:
    gap = run.figures["API"]["longest gap"]
    return [f"{gap} s"] if gap > LONGEST_GAP * run.pace else []


@invariant(
    "health that does not tell of an outage",
    "API",
    lambda connection, run: run.health_in_outages.append("health without database: 200"),
)
def health_tells(connection: Connection, run: Run) -> list[str]:
    return run.health_in_outages


@invariant(
    "uses of a key after it was revoked",
    "API",
    lambda connection, run: setattr(run, "uses_after_revocation", 1),
)
def used_after_revocation(connection: Connection, run: Run) -> list[str]:
    return [f"{run.uses_after_revocation} uses"] if run.uses_after_revocation else []


# --- imports -----------------------------------------------------------------------------------------------------------


@invariant("imported rows lost", "import", run_sql(_LOSE.format("imported%")))
def import_lost(connection: Connection, run: Run) -> list[str]:
    return [name for name, count in _counts(connection, run, run.imported).items() if not count]


@invariant("imported rows doubled", "import", doubled("crm_account", "a.name LIKE 'imported%'"))
def import_doubled(connection: Connection, run: Run) -> list[str]:
    return [name for name, count in _counts(connection, run, run.imported).items() if count > 1]


@invariant(
    "counts of imports that differ from their rows",
    "import",
    run_sql("UPDATE data_import_importjob SET created_count = created_count + 1"),
)
def import_counts(connection: Connection, run: Run) -> list[str]:
    return texts(
        connection,
        # A row that was valid is in when its batch is.
        "SELECT j.id, j.status, j.created_count, count(b.committed_at) FROM data_import_importjob j "
        "JOIN data_import_importstagingrecord s ON s.job_id = j.id LEFT JOIN data_import_importbatch b "
        "ON b.job_id = s.job_id AND b.number = s.batch_no AND s.status = 'valid' GROUP BY j.id "
        "HAVING j.status <> 'completed' OR j.created_count <> count(b.committed_at) "
        "OR count(*) <> count(DISTINCT s.row_no)",
    )


def _lose_file(connection: Connection, run: Run) -> None:
    connection.execute("SET LOCAL session_replication_role = replica")
    connection.execute("UPDATE core_storedfile SET storage_key = 'elsewhere'")


@invariant("stored bytes without a row or a mark, and rows without their bytes", "import", _lose_file)
def orphan_files(connection: Connection, run: Run) -> list[str]:
    media = run.machine.home / "media"
    stored = {str(file.relative_to(media)) for file in media.glob("files/**/*") if file.is_file()}
    # The sweep looks at what is marked; until then it may be there without its row.
    marked = {file.read_text() for file in media.glob(f"{MARKS}/*")}
    known = {path for (path,) in rows(connection, f"SELECT storage_key FROM {StoredFile._meta.db_table}")}
    return sorted((stored - known - marked) | (known - stored))


# --- the change log -------------------------------------------------------------------------------------------------------

_ACCOUNT_ENTRY = (
    "SELECT ctid FROM core_changelog WHERE entity_type = 'account' AND action = 'create' "
    "AND entity_id IN (SELECT id FROM crm_account) LIMIT 1"
)


@invariant(
    "records that are not in the log exactly once",
    "",
    run_sql(
        "DELETE FROM core_changelog WHERE (entity_id, action) IN (SELECT entity_id, action FROM core_changelog "
        "WHERE entity_type = 'account' AND action = 'create' AND entity_id IN (SELECT id FROM crm_account) LIMIT 1)"
    ),
)
def not_logged(connection: Connection, run: Run) -> list[str]:
    return texts(
        connection,
        "SELECT a.id, a.name, count(l.id) FROM crm_account a LEFT JOIN core_changelog l ON l.entity_id = a.id "
        "AND l.entity_type = 'account' AND l.action = 'create' AND l.company_id = a.company_id "
        "GROUP BY a.id HAVING count(l.id) <> 1",
    )


@invariant("entries of the log without their record", "", run_sql(_LOSE.format("%")))
def logged_for_nothing(connection: Connection, run: Run) -> list[str]:
    return texts(
        connection,
        "SELECT l.entity_id, l.action FROM core_changelog l LEFT JOIN crm_account a ON a.id = l.entity_id "
        "WHERE l.entity_type = 'account' AND a.id IS NULL AND NOT EXISTS (SELECT FROM core_changelog p "
        "WHERE p.entity_type = 'account' AND p.entity_id = l.entity_id AND p.action = 'purge')",
    )


@invariant(
    "accounts that the stream did not deliver exactly once",
    "",
    run_sql(
        "INSERT INTO chaos_effect (kind, key) SELECT kind, key FROM chaos_effect WHERE kind = 'event' LIMIT 1"
    ),
)
def events(connection: Connection, run: Run) -> list[str]:
    return texts(
        connection,
        "SELECT coalesce(l.entity_id::text, e.key), count(e.key) FROM core_changelog l "
        "FULL JOIN (SELECT key FROM chaos_effect WHERE kind = 'event') e ON e.key = l.entity_id::text "
        "AND l.entity_type = 'account' AND l.action = 'create' "
        "WHERE e.key IS NOT NULL OR (l.entity_type = 'account' AND l.action = 'create') "
        "GROUP BY 1 HAVING count(e.key) <> 1 OR count(l.id) <> 1",
    )


@invariant(
    "changes that a consumer could not digest",
    "",
    run_sql(
        "INSERT INTO core_parkedchange (consumer_id, log_id, attempts, error, created_at) VALUES ('x', 1, 1, '', now())"
    ),
)
def parked(connection: Connection, run: Run) -> list[str]:
    return texts(connection, "SELECT consumer_id, log_id, error FROM core_parkedchange")


# --- jobs and slots --------------------------------------------------------------------------------------------------------


@invariant(
    "jobs that are not done",
    "",
    run_sql("UPDATE core_job SET state = 'failed' WHERE id = (SELECT id FROM core_job LIMIT 1)"),
)
def not_done(connection: Connection, run: Run) -> list[str]:
    return texts(connection, "SELECT kind, id, state, attempts, error FROM core_job WHERE state <> 'done'")


@invariant(
    "jobs without exactly one effect, and the reverse",
    "jobs",
    run_sql(
        "INSERT INTO chaos_effect (kind, key) SELECT kind, key FROM chaos_effect WHERE kind = 'job' LIMIT 1"
    ),
)
def job_effects(connection: Connection, run: Run) -> list[str]:
    return texts(
        connection,
        "SELECT coalesce(j.id::text, e.key), count(e.key) FROM (SELECT id FROM core_job WHERE kind = 'chaos.once') j "
        "FULL JOIN (SELECT key FROM chaos_effect WHERE kind = 'job') e ON e.key = j.id::text "
        "GROUP BY 1 HAVING count(e.key) <> 1 OR count(j.id) <> 1",
    )


@invariant(
    "steps of long jobs that were not done exactly once",
    "jobs",
    run_sql(
        "DELETE FROM chaos_effect WHERE ctid = (SELECT ctid FROM chaos_effect WHERE kind = 'chunk' LIMIT 1)"
    ),
)
def chunk_effects(connection: Connection, run: Run) -> list[str]:
    return texts(
        connection,
        "SELECT j.id, n, count(e.key) FROM core_job j CROSS JOIN generate_series(1, %s) n "
        "LEFT JOIN chaos_effect e ON e.kind = 'chunk' AND e.key = j.id || ' ' || n "
        "WHERE j.kind = 'chaos.chunks' GROUP BY 1, 2 HAVING count(e.key) <> 1",
        CHUNKS,
    )


@invariant(
    "due slots that nobody took",
    "jobs",
    run_sql(
        "DELETE FROM core_slot WHERE (schedule, due_at) = (SELECT schedule, due_at FROM core_slot "
        "WHERE schedule = 'chaos.all' ORDER BY due_at OFFSET 1 LIMIT 1)"
    ),
)
def slots_lost(connection: Connection, run: Run) -> list[str]:
    return texts(
        connection,
        "SELECT s.schedule, due FROM (SELECT schedule, min(due_at) AS first, max(due_at) AS last FROM core_slot "
        "WHERE schedule = ANY(%s) GROUP BY 1) s CROSS JOIN generate_series(s.first, s.last, %s * interval '1 second') due "
        "EXCEPT SELECT schedule, due_at FROM core_slot",
        list(SCHEDULES),
        SLOT_SECONDS,
    )


@invariant(
    "taken slots without exactly one effect, and the reverse",
    "jobs",
    run_sql(
        "INSERT INTO chaos_effect (kind, key) SELECT kind, key FROM chaos_effect WHERE kind = 'slot' LIMIT 1"
    ),
)
def slot_effects(connection: Connection, run: Run) -> list[str]:
    return texts(
        connection,
        "SELECT coalesce(s.name, e.key), count(e.key) FROM (SELECT schedule || ' ' || extract(epoch FROM due_at)::bigint "
        "AS name FROM core_slot WHERE NOT is_missed AND schedule = ANY(%s)) s "
        "FULL JOIN (SELECT key FROM chaos_effect WHERE kind = 'slot') e ON e.key = s.name "
        "GROUP BY 1 HAVING count(e.key) <> 1 OR count(s.name) <> 1",
        list(SCHEDULES),
    )


@invariant(
    "slots missed although their schedule makes up for all",
    "jobs",
    run_sql(
        "UPDATE core_slot SET is_missed = true WHERE (schedule, due_at) = (SELECT schedule, due_at FROM core_slot "
        "WHERE schedule = 'chaos.all' LIMIT 1)"
    ),
)
def slots_missed(connection: Connection, run: Run) -> list[str]:
    return texts(
        connection, "SELECT schedule, due_at FROM core_slot WHERE is_missed AND schedule = 'chaos.all'"
    )


@invariant(
    "effects of slots later than a minute",
    "jobs",
    run_sql("UPDATE chaos_effect SET at = at + interval '1 day' WHERE kind = 'slot'"),
)
def late_slots(connection: Connection, run: Run) -> list[str]:
    return texts(connection, f"SELECT key, late FROM ({LATENESS}) x WHERE late > {LATEST * run.pace}")


LATENESS = "SELECT key, extract(epoch FROM at) - split_part(key, ' ', 2)::bigint AS late FROM chaos_effect WHERE kind = 'slot'"


# --- the bystander and what is left behind ------------------------------------------------------------------------------------


def checksums(connection: Connection, company_id: Any) -> dict[str, str]:
    """One checksum for each table of the company's rows; what the system writes by itself is not counted."""
    found = {}
    own = (Job, AuditSeal)
    tables = [model._meta.db_table for model in company_models() if model not in own] + ["core_changelog"]
    for table in sorted(set(tables)):
        statement = sql.SQL(
            "SELECT md5(coalesce(string_agg(md5(t::text), '' ORDER BY md5(t::text)), '')) FROM {} t WHERE company_id = %s"
        ).format(sql.Identifier(table))
        row = connection.execute(statement, [company_id]).fetchone()
        assert row is not None
        found[table] = row[0]
    return found


def _touch_bystander(connection: Connection, run: Run) -> None:
    connection.execute("SET LOCAL session_replication_role = replica")
    connection.execute(
        "UPDATE crm_account SET description = 'touched' WHERE company_id = %s", [run.bystander.company.pk]
    )


@invariant("tables of the bystander that changed", "", _touch_bystander)
def bystander_drift(connection: Connection, run: Run) -> list[str]:
    now = checksums(connection, run.bystander.company.pk)
    return sorted(table for table in now if now[table] != run.bystander_before.get(table))


@invariant(
    "leases that outlived their job",
    "",
    run_sql(
        "UPDATE core_job SET lease_until = now() - interval '1 hour' WHERE id = (SELECT id FROM core_job LIMIT 1)"
    ),
)
def leases(connection: Connection, run: Run) -> list[str]:
    return texts(
        connection, "SELECT kind, id, state, lease_until FROM core_job WHERE lease_until IS NOT NULL"
    )


_OLD = "xact_start < clock_timestamp() - interval '2 seconds'"


def _hang(connection: Connection, run: Run) -> None:
    """Another session holds a lock in a transaction and does not end; see `toothless`."""
    time.sleep(max(0.0, run.figures["hanging since"] + 2.1 - time.monotonic()))


@invariant("sessions idle in a transaction", "", _hang)
def idle_sessions(connection: Connection, run: Run) -> list[str]:
    return texts(
        connection,
        f"SELECT pid, state, query FROM pg_stat_activity WHERE state LIKE 'idle in transaction%%' AND {_OLD} "
        "AND pid <> pg_backend_pid()",
    )


@invariant("advisory locks still held", "", _hang)
def advisory_locks(connection: Connection, run: Run) -> list[str]:
    return texts(
        connection,
        f"SELECT l.pid, l.objid FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE locktype = 'advisory' AND {_OLD}",
    )


@invariant(
    "fault points that were never hit",
    "",
    lambda connection, run: run.planned.append("a.point.never.passed"),
)
def never_hit(connection: Connection, run: Run) -> list[str]:
    hits = run.machine.plan.with_name("plan.hits")
    counted = Counter(hits.read_text().split() if hits.exists() else [])
    return [
        f"{point}: {counted[point]} of {count}"
        for point, count in Counter(run.planned).items()
        if counted[point] < count
    ]


# --- judging ------------------------------------------------------------------------------------------------------------------


def judge(run: Run, phases: set[str]) -> dict[str, list[str]]:
    """What breaks each invariant that these phases have put to the test."""
    with run.machine.superuser() as connection:
        return {item.name: item.broken(connection, run) for item in INVARIANTS if item.phase in phases | {""}}


def toothless(run: Run, phases: set[str]) -> list[str]:
    """The invariants that do not notice a violation made on purpose. Nothing of it stays."""
    with run.machine.superuser() as hanging:
        hanging.execute("SELECT pg_advisory_xact_lock(1)")
        since = time.monotonic()
        return [
            item.name for item in INVARIANTS if item.phase in phases | {""} and not _bites(item, run, since)
        ]


def _bites(item: Invariant, run: Run, hanging_since: float) -> bool:
    """Whether the invariant notices a violation made on purpose."""
    ledger, size = run.ledger.path, run.ledger.path.stat().st_size
    changed = dataclasses.replace(run)
    changed.witness = copy.copy(run.witness)
    changed.witness.answers = list(run.witness.answers)
    changed.figures = copy.deepcopy(run.figures) | {"hanging since": hanging_since}
    changed.health_in_outages, changed.planned = [*run.health_in_outages], [*run.planned]
    with run.machine.superuser() as connection, connection.transaction(force_rollback=True):
        item.violate(connection, changed)
        noticed = bool(item.broken(connection, changed))
    with ledger.open("r+b") as file:
        file.truncate(size)
    return noticed


__all__ = ["INVARIANTS", "checksums", "judge", "longest_gap", "toothless"]
