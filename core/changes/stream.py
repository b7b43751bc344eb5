"""The change log as an event stream: consumers read it in one order, each from an offset of its own.

The order is (transaction, log id), and only transactions older than every one still running are read: nothing that
commits late is skipped. A consumer's effects and its offset are one commit, so a database effect happens once; a change
the consumer cannot digest is parked and tried again later.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cached_property
from itertools import groupby
from typing import Any
from uuid import UUID

import structlog
from celery.exceptions import SoftTimeLimitExceeded
from django.db import connection
from django.utils import timezone

from core.changes.causes import LoopDetected
from core.changes.events import Change
from core.changes.models import Consumer as Offset
from core.changes.models import ParkedChange
from core.changes.waking import TASK, forget_wake, listening, wake_stream
from core.kernel.faultpoints import declare, fault
from core.kernel.registry import Registry
from core.kernel.transactions import RETRIED_STATES, retried, savepoint, sql_state, unit_of_work
from core.tenancy.actors import Actor, system_actor
from core.tenancy.context import Origin, actor_context, company_context, system_context

__all__ = [
    "TASK",
    "Batch",
    "Change",
    "ConsumerEntry",
    "Lag",
    "consumer",
    "consumers",
    "lag",
    "release",
    "retry_parked",
    "run_consumer",
    "run_consumers",
    "wake_stream",
]

declare("stream.before_call", "stream.before_offset", "stream.after_offset")

BATCH = 500
# One run of a consumer ends after so many batches, for the others' sake.
BATCHES_A_RUN = 20
MAX_PARKED_ATTEMPTS = 8
FIRST_PARKED_WAIT = timedelta(seconds=10)
MAX_ERROR_LENGTH = 2_000
# Beyond this the lag is only known to be large.
LAG_COUNTED = 10_000

_log = structlog.get_logger("atrium.stream")


@dataclass(frozen=True)
class Batch:
    """Changes of one company in stream order.

    `actor` is the company's machinery and is bound already. It is one step deeper than the deepest of the changes, and
    has the change as its cause when there is only one; with several, bind each with `caused_by`.
    """

    company_id: UUID
    actor: Actor
    changes: tuple[Change, ...]

    @contextmanager
    def caused_by(self, change: Change, actor: Actor | None = None) -> Iterator[Actor]:
        """Bind an actor whose writes and jobs are logged as caused by `change`, one step deeper; gives that actor.

        It is the company's machinery, or `actor` (whose rights a run has, for one). Writes at a depth beyond
        `core.changes.causes.MAX_DEPTH` raise LoopDetected.
        """
        follower = replace(actor or self.actor, cause=change.log_id, depth=change.depth + 1)
        origin = Origin(correlation_id=change.correlation_id)
        with actor_context(follower, source="task", origin=origin):
            yield follower


Handler = Callable[[Batch], None]


@dataclass(frozen=True)
class ConsumerEntry:
    """A reader of the stream."""

    name: str
    handle: Handler
    entity_types: frozenset[str]
    events: frozenset[str]
    from_now: bool

    @cached_property
    def wanted_types(self) -> list[str]:
        """The entity types to be read at all; empty: every one."""
        return sorted(self.entity_types | {event.partition(".")[0] for event in self.events})

    def wants(self, change: Change) -> bool:
        return (
            not self.events
            or change.entity_type in self.entity_types
            or bool(self.events & set(change.events))
        )


consumers: Registry[ConsumerEntry] = Registry("consumer")


def consumer(
    name: str, *, entity_types: Iterable[str] = (), events: Iterable[str] = (), from_now: bool = False
) -> Callable[[Handler], Handler]:
    """Make a function a reader of the change stream; in an app's `consumers.py`.

    It gets what matches any of the entity types or events (all changes when neither is given), in batches of one company,
    in a transaction with the company in context. It may see a change again after a failure beside it, so anything but a
    database effect must be idempotent by `change.log_id`. With `from_now` a new consumer starts at the present, otherwise
    at the beginning of the log.
    """

    def registered(function: Handler) -> Handler:
        entry = ConsumerEntry(name, function, frozenset(entity_types), frozenset(events), from_now)
        consumers.register(name, entry)
        listening.add(name)
        return function

    return registered


# --- reading ---------------------------------------------------------------------------------------------------

_COLUMNS = """l.xid, l.id, l.at, l.company_id, l.action, l.entity_type, l.entity_id, l.changed_fields, l.old_values,
  l.new_values, c.actor_id, c.source, c.cause, coalesce(c.depth, 0), c.correlation_id"""

# What the consumer does not want is passed over without its values being read.
_READ = f"""
SELECT {_COLUMNS}
FROM (
  SELECT l.xid, l.id, l.at, l.company_id, l.action, l.entity_type, l.entity_id,
    CASE WHEN wanted THEN l.changed_fields END AS changed_fields, CASE WHEN wanted THEN l.old_values END AS old_values,
    CASE WHEN wanted THEN l.new_values END AS new_values, CASE WHEN wanted THEN l.context_id END AS context_id
  FROM core_changelog l, LATERAL (SELECT cardinality(%(types)s::text[]) = 0 OR l.entity_type = ANY(%(types)s)) AS w(wanted)
  WHERE (l.xid, l.id) > (%(xid)s, %(log_id)s) AND l.xid < pg_snapshot_xmin(pg_current_snapshot())::text::bigint
  ORDER BY l.xid, l.id LIMIT %(limit)s
) l LEFT JOIN core_changecontext c ON c.id = l.context_id
ORDER BY l.xid, l.id"""

_READ_ONE = f"""
SELECT {_COLUMNS} FROM core_changelog l LEFT JOIN core_changecontext c ON c.id = l.context_id
WHERE l.id = %(log_id)s"""


def run_consumer(name: str, *, limit: int = BATCH, most_batches: int = BATCHES_A_RUN) -> int:
    """Hand the consumer what is new, batch by batch. Returns how many log entries it passed.

    Each batch is a transaction; while another process runs this consumer, nothing happens. Raises: KeyError, and what the
    database raises when it is not in order; what the consumer raises about a change is parked.
    """
    entry = consumers[name]
    passed = 0
    for _ in range(most_batches):
        with system_context(f"consumer {name}"):
            count = retried(lambda: _run_batch(entry, limit))
        fault("stream.after_offset")
        passed += count
        if count < limit:
            break
    return passed


def run_consumers() -> int:
    """Every consumer in turn; one that cannot run is logged and does not stop the others."""
    forget_wake()
    passed = 0
    for entry in consumers:
        try:
            passed += run_consumer(entry.name)
        except SoftTimeLimitExceeded:
            raise
        except Exception:
            _log.exception("consumer cannot run", consumer=entry.name)
    return passed


def _run_batch(entry: ConsumerEntry, limit: int) -> int:
    if not _lock(entry):
        return 0
    offset = _offset(entry)
    with connection.cursor() as cursor:
        cursor.execute(
            _READ,
            {"types": entry.wanted_types, "xid": offset.xid, "log_id": offset.log_id, "limit": limit},
        )
        rows = cursor.fetchall()
    if not rows:
        return 0
    _deliver(entry, [_change(row) for row in rows if row[3] is not None and _is_wanted(entry, row)])
    fault("stream.before_offset")
    Offset.objects.filter(name=entry.name).update(
        xid=rows[-1][0], log_id=rows[-1][1], updated_at=timezone.now()
    )
    return len(rows)


def _is_wanted(entry: ConsumerEntry, row: Sequence[Any]) -> bool:
    return not entry.wanted_types or row[5] in entry.wanted_types


def _lock(entry: ConsumerEntry) -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(hashtext(%s))", [f"crm consumer {entry.name}"])
        return bool(cursor.fetchone()[0])


def _offset(entry: ConsumerEntry) -> Offset:
    found = Offset.objects.filter(name=entry.name).first()
    if found is not None:
        return found
    start = Offset(name=entry.name)
    if entry.from_now:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint - 1")
            start.xid, start.log_id = cursor.fetchone()[0], 2**63 - 1
    start.save(force_insert=True)
    return start


def _change(row: Sequence[Any]) -> Change:
    (
        _,
        log_id,
        at,
        company_id,
        action,
        entity_type,
        entity_id,
        changed,
        old,
        new,
        actor_id,
        source,
        cause,
        depth,
        correlation,
    ) = row
    return Change(
        log_id=log_id,
        at=at,
        company_id=company_id,
        action=action,
        entity_type=entity_type,
        entity_id=entity_id,
        changed=frozenset(changed or ()),
        old=_document(old),
        new=_document(new),
        actor_id=actor_id,
        source=source or "",
        cause=cause,
        depth=depth,
        correlation_id=correlation or "",
    )


def _document(value: Any) -> dict[str, Any]:
    if value is None:
        return {}
    document: dict[str, Any] = json.loads(value) if isinstance(value, str) else value
    return document


# --- delivering ------------------------------------------------------------------------------------------------


def _deliver(entry: ConsumerEntry, changes: list[Change]) -> None:
    for _, group in groupby(
        sorted(changes, key=lambda change: str(change.company_id)), key=lambda change: change.company_id
    ):
        wanted = tuple(change for change in group if entry.wants(change))
        if wanted and not _tried(entry, wanted):
            for change in wanted:
                _tried(entry, (change,), park=True)


def _tried(entry: ConsumerEntry, changes: tuple[Change, ...], *, park: bool = False) -> bool:
    """Whether the consumer took the changes; what it did half is undone."""
    try:
        _call(entry, changes)
    except Exception as error:
        if _is_of_the_moment(error):
            raise
        if park:
            _park(entry, changes[0], error)
        return False
    return True


def _call(entry: ConsumerEntry, changes: tuple[Change, ...]) -> None:
    company_id = changes[0].company_id
    cause = changes[0].log_id if len(changes) == 1 else None
    actor = replace(system_actor(company_id), cause=cause, depth=1 + max(change.depth for change in changes))
    origin = Origin(correlation_id=changes[0].correlation_id)
    with savepoint(), company_context(company_id, actor=actor, source="task", origin=origin):
        fault("stream.before_call")
        entry.handle(Batch(company_id, actor, changes))
        # References are checked at the end of a transaction; here that would be too late to tell whose fault it is.
        connection.check_constraints()


def _is_of_the_moment(error: Exception) -> bool:
    """Faults of the database or of the process rather than of a change: the whole batch comes again."""
    if isinstance(error, SoftTimeLimitExceeded) or sql_state(error) in RETRIED_STATES:
        return True
    return connection.connection is None or bool(connection.connection.closed)


def _park(entry: ConsumerEntry, change: Change, error: Exception) -> None:
    _log.error("change parked", consumer=entry.name, log_id=change.log_id, exc_info=error)
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO core_parkedchange (consumer_id, log_id, company_id, attempts, error, next_try_at, created_at) "
            "VALUES (%s, %s, %s, 1, %s, %s, now()) ON CONFLICT (consumer_id, log_id) DO NOTHING",
            [
                entry.name,
                change.log_id,
                change.company_id,
                _text(error),
                # A loop stays one: only `release` tries it again.
                None if isinstance(error, LoopDetected) else timezone.now() + FIRST_PARKED_WAIT,
            ],
        )


def _text(error: Exception) -> str:
    # The first line alone: what databases add to it quotes values of rows.
    return f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"[:MAX_ERROR_LENGTH]


def retry_parked(*, now: datetime, limit: int = 100) -> int:
    """Try parked changes again whose time has come. Returns how many went through.

    After its last attempt a change stays parked for good, with its error, until `release` gives it another chance.
    """
    done = 0
    for _ in range(limit):
        with system_context("parked changes"), unit_of_work():
            parked = (
                ParkedChange.objects.select_for_update(skip_locked=True)
                .filter(next_try_at__lte=now, consumer__in=consumers.names())
                .order_by("next_try_at")
                .first()
            )
            if parked is None:
                break
            done += _retry(parked, now)
    return done


def release(parked_id: int, *, now: datetime) -> bool:
    """Let a parked change be tried again now; False when there is none. Needs no context."""
    return bool(ParkedChange.objects.filter(id=parked_id).update(next_try_at=now, attempts=1))


def _retry(parked: ParkedChange, now: datetime) -> bool:
    with connection.cursor() as cursor:
        cursor.execute(_READ_ONE, {"log_id": parked.log_id})
        row = cursor.fetchone()
    if row is None:
        # Retention has removed the entry: there is nothing left to act on.
        parked.delete()
        return False
    try:
        _call(consumers[parked.consumer_id], (_change(row),))
    except Exception as error:
        if _is_of_the_moment(error):
            raise
        parked.attempts += 1
        parked.error = _text(error)
        is_last = parked.attempts >= MAX_PARKED_ATTEMPTS or isinstance(error, LoopDetected)
        parked.next_try_at = None if is_last else now + FIRST_PARKED_WAIT * 2 ** (parked.attempts - 1)
        parked.save()
        return False
    parked.delete()
    return True


# --- watching ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Lag:
    """How far a consumer is behind: entries not yet read (at most 10,000 are counted), the age of the oldest, parked."""

    name: str
    entries: int
    seconds: float
    parked: int


def lag(*, now: datetime) -> list[Lag]:
    """The lag of every registered consumer."""
    with system_context("stream lag"), unit_of_work(), connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT name, coalesce(behind.entries, 0), behind.oldest,
              (SELECT count(*) FROM core_parkedchange p WHERE p.consumer_id = name)
            FROM unnest(%(names)s::text[]) AS name
            LEFT JOIN core_consumer o USING (name)
            LEFT JOIN LATERAL (
              SELECT count(*) AS entries, min(x.at) AS oldest FROM (
                SELECT l.at FROM core_changelog l WHERE (l.xid, l.id) > (coalesce(o.xid, 0), coalesce(o.log_id, 0))
                ORDER BY l.xid, l.id LIMIT %(counted)s) x
            ) behind ON true
            ORDER BY name""",
            {"names": list(consumers.names()), "counted": LAG_COUNTED},
        )
        return [
            Lag(name, entries, max(0.0, (now - oldest).total_seconds()) if oldest else 0.0, parked)
            for name, entries, oldest, parked in cursor.fetchall()
        ]
