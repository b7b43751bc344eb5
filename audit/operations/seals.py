"""Sealing: each company's new entries become a seal that follows the company's last one. Off the write path."""

from __future__ import annotations

import secrets
from collections import defaultdict
from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

from django.db import connection, transaction

from audit.models import AuditSeal
from audit.sealing import checkpoints
from audit.sealing.entries import Row, read_new
from audit.sealing.proofs import EMPTY, HASH_BYTES, SALT_BYTES, digest_of, leaf_of, root_of
from core.kernel.faultpoints import declare, fault
from core.kernel.transactions import retried
from core.tenancy.context import system_context

declare("seal.before_commit", "seal.after_commit")

BATCH = 10_000
ID_BYTES = 8


def seal_new(
    *, now: Callable[[], datetime], keep: Callable[[], None] = lambda: None, batch: int = BATCH
) -> int:
    """Seal every entry that is committed and behind no running transaction; how many were.

    Opens its own transactions, one for each batch; `keep` is called before each, and what it raises ends the run. Killed
    anywhere, the next run goes on behind the last seal.
    """
    sealed = 0
    while True:
        keep()
        with system_context("seals of the change log"):
            count = retried(lambda: _seal_batch(now(), batch))
        fault("seal.after_commit")
        sealed += count
        if count < batch:
            return sealed


def _seal_batch(now: datetime, batch: int) -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(hashtext('audit seals'))")
        if not cursor.fetchone()[0]:
            return 0
    last = AuditSeal.objects.order_by("-until_xid", "-until_id").values_list("until_xid", "until_id").first()
    rows = read_new(last or (0, 0), batch)
    by_company: dict[UUID, list[tuple[int, Row]]] = defaultdict(list)
    for company_id, xid, row in rows:
        by_company[company_id].append((xid, row))
    for company_id, entries in by_company.items():
        seal = _seal(company_id, entries, now)
        transaction.on_commit(partial(checkpoints.publish, header_of(seal)), robust=True)
    fault("seal.before_commit")
    return len(rows)


def _seal(company_id: UUID, entries: list[tuple[int, Row]], now: datetime) -> AuditSeal:
    before = AuditSeal.objects.filter(company_id=company_id).order_by("-number").first()
    salts = [secrets.token_bytes(SALT_BYTES) for _ in entries]
    leaves = [
        leaf_of(facts, salt, values) for (_, (_, facts, values)), salt in zip(entries, salts, strict=True)
    ]
    last_xid, (last_id, _, _) = entries[-1]
    seal = AuditSeal(
        company_id=company_id,
        number=before.number + 1 if before else 1,
        previous=before.digest if before else EMPTY.hex(),
        after_xid=before.until_xid if before else 0,
        after_id=before.until_id if before else 0,
        until_xid=last_xid,
        until_id=last_id,
        row_count=len(entries),
        log_ids=b"".join(row[0].to_bytes(ID_BYTES, "big") for _, row in entries),
        leaves=b"".join(leaves),
        salts=b"".join(salts),
        root=root_of(leaves).hex(),
        sealed_at=now,
    )
    seal.digest = digest_of(header_of(seal))
    seal.signature = checkpoints.sign(seal.digest)
    seal.save(force_insert=True)
    return seal


def header_of(seal: AuditSeal) -> dict[str, Any]:
    """What a seal says of itself, as it is hashed and published."""
    return {
        "company": str(seal.company_id),
        "number": seal.number,
        "previous": seal.previous,
        "after_xid": seal.after_xid,
        "after_id": seal.after_id,
        "until_xid": seal.until_xid,
        "until_id": seal.until_id,
        "row_count": seal.row_count,
        "root": seal.root,
        "sealed_at": seal.sealed_at.isoformat(),
        "digest": seal.digest,
        "signature": seal.signature,
    }


def parts(packed: bytes, size: int) -> list[bytes]:
    """Values of one size that were put one behind the other."""
    return [packed[start : start + size] for start in range(0, len(packed), size)]


def log_ids_of(seal: AuditSeal) -> list[int]:
    return [int.from_bytes(item, "big") for item in parts(bytes(seal.log_ids), ID_BYTES)]


def leaves_of(seal: AuditSeal) -> list[bytes]:
    return parts(bytes(seal.leaves), HASH_BYTES)


def salts_of(seal: AuditSeal) -> list[bytes]:
    return parts(bytes(seal.salts), SALT_BYTES)
