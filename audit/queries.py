"""Reading the log: entries, the state of a record at a time, counts. All need the company in context."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import QuerySet

from audit.models import AuditLog, AuditRemoval
from audit.reading import LogReader
from audit.rights import VIEW_AUDIT
from audit.states import Step, logged_models, state_at
from core.kernel.errors import Forbidden, Gone, NotFound
from core.tenancy.actors import Actor

BUCKETS = ("hour", "day", "week", "month")
# Of users, kinds, actions and sources: the most frequent.
MOST_COUNTED = 50


def require_view(actor: Actor) -> None:
    """Raises: Forbidden unless the actor may see the log."""
    if not actor.rights.can(VIEW_AUDIT):
        raise Forbidden("Your role may not see the change log.")


def entries(actor: Actor) -> QuerySet[Any]:
    """Every entry of the company, with its context. Raises: Forbidden."""
    require_view(actor)
    found: QuerySet[Any] = AuditLog.objects.select_related("context")
    return found


def without_hidden(actor: Actor, found: QuerySet[Any], field: str | None) -> QuerySet[Any]:
    """The entries that may be looked through for changes of `field`: not those of kinds whose field the actor may not see."""
    hidden = LogReader(actor).hidden_kinds(field) if field else ()
    return found.exclude(entity_type__in=hidden) if hidden else found


def get_entry(actor: Actor, log_id: int | str) -> AuditLog:
    """Raises: Forbidden, NotFound."""
    text = str(log_id)
    # More digits than any entry has.
    known = text.isascii() and text.isdigit() and len(text) < 19
    found: AuditLog | None = entries(actor).filter(pk=int(text)).first() if known else None
    if found is None:
        raise NotFound()
    return found


@dataclass(frozen=True)
class PastRecord:
    """A record as it stood: `values` are those the actor may see, empty where there was none yet or any more."""

    exists: bool
    is_deleted: bool
    values: dict[str, Any]
    last_change: Step | None


def record_as_of(actor: Actor, entity_type: str, entity_id: UUID, at: datetime) -> PastRecord:
    """The record as it stood at that time.

    Raises: Forbidden for a kind whose records the actor may not read; NotFound for one that the log does not follow, and
    for a record that it never saw; Gone (`not_kept`) for a time since which retention removed entries of the kind.
    """
    require_view(actor)
    reader = LogReader(actor)
    if entity_type not in logged_models():
        raise NotFound("The change log follows no such kind of record.", code="not_logged")
    if reader.view_of(entity_type) is None and not reader.sees_all_of(entity_type):
        raise Forbidden("Your role may not read these records.")
    if AuditRemoval.objects.filter(entity_types__contains=[entity_type], newest_at__gt=at).exists():
        raise Gone("The change log does not reach back so far any more.", code="not_kept")
    state, step = state_at((entity_type, entity_id), at)
    if state is None and step is None and not AuditLog.objects.filter(entity_id=entity_id).exists():
        raise NotFound()
    return PastRecord(
        exists=state is not None,
        is_deleted=bool(state and state.get("deleted_at")),
        values=reader.values(entity_type, state),
        last_change=step,
    )


@dataclass(frozen=True)
class Summary:
    """Counts of entries: over time, and of the most frequent users, kinds, actions and sources."""

    total: int
    buckets: list[tuple[datetime, int]]
    users: list[tuple[UUID | None, int]]
    entities: list[tuple[str, int]]
    actions: list[tuple[str, int]]
    sources: list[tuple[str, int]]


_SUMMARY = """
SELECT grouping(at, user_id, kind, action, source), at, user_id, kind, action, source, count(*)
FROM (
  SELECT date_trunc(%(bucket)s, l.at, %(zone)s) AS at, c.actor_id AS user_id, l.entity_type AS kind, l.action,
    coalesce(c.source, '') AS source
  FROM core_changelog l LEFT JOIN core_changecontext c ON c.id = l.context_id AND c.company_id = l.company_id
  WHERE l.company_id = %(company)s AND l.at >= %(since)s AND l.at < %(until)s
) found
GROUP BY GROUPING SETS ((), (at), (user_id), (kind), (action), (source))"""
# Which columns a row of it is not grouped by, as bits.
_TOTAL, _AT, _USER, _KIND, _ACTION, _SOURCE = 31, 15, 23, 27, 29, 30


def summarize(actor: Actor, since: datetime, until: datetime, bucket: str = "day") -> Summary:
    """Count the entries of a time, `until` excluded; buckets begin in the actor's time zone. One statement.

    Raises: Forbidden.
    """
    require_view(actor)
    with connection.cursor() as cursor:
        cursor.execute(
            _SUMMARY,
            {
                "bucket": bucket,
                "zone": actor.zone,
                "company": actor.company_id,
                "since": since,
                "until": until,
            },
        )
        rows = cursor.fetchall()

    def counted(bits: int, place: int) -> list[tuple[Any, int]]:
        found = [(row[place], row[6]) for row in rows if row[0] == bits]
        return sorted(found, key=lambda item: (-item[1], str(item[0])))[:MOST_COUNTED]

    return Summary(
        total=sum(row[6] for row in rows if row[0] == _TOTAL),
        buckets=sorted((row[1], row[6]) for row in rows if row[0] == _AT),
        users=counted(_USER, 2),
        entities=counted(_KIND, 3),
        actions=counted(_ACTION, 4),
        sources=counted(_SOURCE, 5),
    )
