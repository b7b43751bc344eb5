"""Entries of the log as the bytes that are hashed, read from PostgreSQL."""

from __future__ import annotations

from uuid import UUID

from django.db import connection

# Log id, facts, values.
Row = tuple[int, bytes, bytes]


def _joined(*expressions: str) -> str:
    """Each value as a text, its length before it; null is told apart from an empty one."""
    parts = [f"coalesce(octet_length({item}) || ':' || {item}, '-') || ','" for item in expressions]
    return " || ".join(parts)


_WHO = _joined(
    "c.actor_id::text",
    "c.impersonator_id::text",
    "c.api_key_id::text",
    "c.session_id::text",
    "c.source",
    "c.ip::text",
    "c.user_agent",
    "c.correlation_id",
    "c.reason",
    "c.cause::text",
    "c.depth::text",
)
_FACTS = (
    "'1'",
    "l.id::text",
    "l.company_id::text",
    "(extract(epoch FROM l.at) * 1000000)::bigint::text",
    "l.xid::text",
    "l.action",
    "l.entity_type",
    "l.entity_id::text",
    "l.changed_fields::text",
    "l.is_sensitive::text",
    "l.requires_review::text",
)
_VALUES = ("l.old_values::text", "l.new_values::text", "l.entity_name", "l.description")


def _named(prefix: str, expressions: tuple[str, ...]) -> str:
    return ", ".join(f"{item} AS {prefix}{place}" for place, item in enumerate(expressions))


def _aliases(prefix: str, expressions: tuple[str, ...]) -> list[str]:
    return [f"t.{prefix}{place}" for place in range(len(expressions))]


# Each text is made once, in the inner query, which OFFSET keeps apart: its length and itself are both wanted.
_SELECT = f"""
SELECT t.company_id, t.xid, t.id, {_joined(*_aliases("f", _FACTS))} || coalesce(w.who, '-'),
  {_joined(*_aliases("v", _VALUES))}
FROM (
  SELECT l.company_id, l.xid, l.id, l.context_id, {_named("f", _FACTS)}, {_named("v", _VALUES)}
  FROM ({{rows}}) l OFFSET 0
) t
LEFT JOIN (SELECT c.id, {_WHO} AS who FROM core_changecontext c) w ON w.id = t.context_id
ORDER BY t.xid, t.id"""
_NEW = _SELECT.format(
    # What belongs to no company, or to one that is gone, has no chain to be in.
    rows="SELECT x.* FROM core_changelog x WHERE (xid, id) > (%s, %s) "
    "AND EXISTS (SELECT FROM core_company k WHERE k.id = x.company_id) "
    "AND xid < pg_snapshot_xmin(pg_current_snapshot())::text::bigint "
    "ORDER BY xid, id LIMIT %s"
)
_SEALED = _SELECT.format(
    rows="SELECT * FROM core_changelog WHERE company_id = %s AND (xid, id) > (%s, %s) AND (xid, id) <= (%s, %s)"
)


def read_new(after: tuple[int, int], limit: int) -> list[tuple[UUID, int, Row]]:
    """The next entries of all companies behind a place in the stream's order, with company and transaction."""
    with connection.cursor() as cursor:
        cursor.execute(_NEW, [*after, limit])
        return [
            (company, xid, (log_id, facts.encode(), values.encode()))
            for company, xid, log_id, facts, values in cursor.fetchall()
        ]


def read_between(company_id: UUID, after: tuple[int, int], until: tuple[int, int]) -> list[Row]:
    """A company's entries behind one place and up to another, in the stream's order."""
    with connection.cursor() as cursor:
        cursor.execute(_SEALED, [company_id, *after, *until])
        return [
            (log_id, facts.encode(), values.encode()) for _, _, log_id, facts, values in cursor.fetchall()
        ]
