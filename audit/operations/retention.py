"""Retention of the log: entries go when no policy that speaks of them asks for them any more.

An entry that no active policy with `retention_days` speaks of stays for ever; of several the longest counts. A policy speaks
of entries by its kinds and actions. Removed are sealed entries alone, and what is removed is itself an entry of the log,
sealed in its turn: `audit_verify` tells retention from somebody with a database client.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import structlog
from django.db import connection

from audit.models import AuditPolicy, AuditRemoval, AuditSeal
from audit.sealing.proofs import ids_digest
from core.changes.ddl import LEAST_KEPT_DAYS
from core.changes.facts import record_fact
from core.changes.rows import to_json
from core.kernel.transactions import retried
from core.tenancy.context import system_context

# The action of the entries that say what was removed. They stay.
RETENTION = "retention"
LEAST_KEPT = timedelta(days=LEAST_KEPT_DAYS)
BATCH = 5_000
# Between the clocks of this machine and of the database.
MARGIN = timedelta(hours=1)
ID_BYTES = 8

_log = structlog.get_logger("atrium.audit")
_EXPIRED = """
WITH p AS (
  SELECT * FROM jsonb_to_recordset(%(policies)s::jsonb) AS p(kinds text[], actions text[], before timestamptz))
SELECT l.id, l.entity_type, l.at FROM core_changelog l
WHERE l.company_id = %(company)s AND l.at < %(before)s AND l.action <> %(retention)s
  AND (l.xid, l.id) <= (%(xid)s, %(id)s)
  AND EXISTS (SELECT FROM p WHERE {speaks})
  AND NOT EXISTS (SELECT FROM p WHERE {speaks} AND l.at >= p.before)
ORDER BY l.id LIMIT %(limit)s""".format(
    speaks="(p.kinds = '{}' OR l.entity_type = ANY(p.kinds)) AND (p.actions = '{}' OR l.action = ANY(p.actions))"
)


def apply_retention(
    company_id: UUID,
    *,
    now: Callable[[], datetime],
    keep: Callable[[], None] = lambda: None,
    batch: int = BATCH,
) -> int:
    """Remove what may go of the company's entries; how many went.

    Opens its own transactions, one for each batch; `keep` is called before each, and what it raises ends the run.
    """
    removed = 0
    while True:
        keep()
        with system_context("retention of the change log"):
            count = retried(lambda: _remove_batch(company_id, now(), batch))
        removed += count
        if count < batch:
            return removed


def _remove_batch(company_id: UUID, now: datetime, batch: int) -> int:
    policies = [
        {
            "kinds": policy.applies_to_entities,
            "actions": policy.applies_to_actions,
            "before": now - max(timedelta(days=policy.retention_days), LEAST_KEPT),
        }
        for policy in AuditPolicy.objects.filter(
            company_id=company_id, is_active=True, retention_days__isnull=False
        )
    ]
    seal = (
        AuditSeal.objects.filter(company_id=company_id, sealed_at__lte=now - LEAST_KEPT - MARGIN)
        .order_by("-number")
        .only("until_xid", "until_id")
        .first()
    )
    if not policies or seal is None:
        return 0
    params: dict[str, Any] = {
        "policies": to_json(policies),
        "company": company_id,
        "before": max(policy["before"] for policy in policies),
        "retention": RETENTION,
        "xid": seal.until_xid,
        "id": seal.until_id,
        "limit": batch,
    }
    with connection.cursor() as cursor:
        cursor.execute(_EXPIRED, params)
        rows = cursor.fetchall()
        if not rows:
            return 0
        ids = [log_id for log_id, _, _ in rows]
        cursor.execute("SELECT app_remove_log_entries(%s, %s)", [company_id, ids])
        [(removed,)] = cursor.fetchall()
    if removed != len(ids):
        # Somebody else was at it: nothing of this batch holds.
        raise RuntimeError(f"{removed} of {len(ids)} entries went")
    packed = b"".join(log_id.to_bytes(ID_BYTES, "big") for log_id in ids)
    kinds, newest = sorted({kind for _, kind, _ in rows}), max(at for _, _, at in rows)
    digest = ids_digest(packed)
    details = {"count": len(ids), "digest": digest, "entity_types": kinds, "newest_at": newest}
    entry = record_fact(
        action=RETENTION,
        entity_type="audit_log",
        details=details,
        description="Entries were removed whose time of retention is over.",
        company_id=company_id,
    )
    AuditRemoval(
        company_id=company_id,
        log_id=entry,
        log_ids=packed,
        digest=digest,
        row_count=len(ids),
        entity_types=kinds,
        newest_at=newest,
    ).save(force_insert=True)
    return len(ids)


def drop_empty_partitions(*, now: datetime) -> list[str]:
    """Drop the months of which no company has entries left; their names. Needs a transaction in a system context."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT app_drop_empty_log_partitions(%s)", [now.date()])
        dropped = [name for (name,) in cursor.fetchall()]
    for name in dropped:
        _log.info("a month of the change log was dropped", partition=name)
        record_fact(action=RETENTION, entity_type="audit_log", details={"partition": name})
    return dropped
