"""Whether the log is what was sealed: every entry of every seal, and the seals among each other."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TextIO
from uuid import UUID

from audit.models import AuditLog, AuditRemoval, AuditSeal
from audit.operations.retention import LEAST_KEPT, RETENTION
from audit.operations.seals import ID_BYTES, header_of, leaves_of, log_ids_of, parts, salts_of
from audit.sealing import checkpoints
from audit.sealing.entries import read_between
from audit.sealing.proofs import EMPTY, digest_of, follow, ids_digest, leaf_of, path_of, root_of
from core.kernel.errors import NotFound

# Of one company; more say nothing new.
MOST_PROBLEMS = 1_000


@dataclass(frozen=True)
class Problem:
    """One thing that is not as it was sealed: `changed`, `removed` or `inserted` entries, or a seal that does not hold."""

    seal: int
    kind: str
    log_id: int | None
    text: str


@dataclass(frozen=True)
class Verified:
    """What a company's seals cover, and everything that is wrong, in the order of the log."""

    company_id: UUID
    seals: int
    entries: int
    problems: list[Problem]
    # Entries that retention took away, and said so.
    removed: int = 0

    @property
    def is_intact(self) -> bool:
        return not self.problems


def verify_company(company_id: UUID) -> Verified:
    """Read and hash every sealed entry of the company. Needs a transaction that reaches the company."""
    seals = entries = removed = 0
    problems: list[Problem] = []
    removals = _removals(company_id)
    published = checkpoints.published()
    before: AuditSeal | None = None
    for seal in _seals(company_id):
        problems += _chain_problems(seal, before, published)
        found, count, gone = _entry_problems(seal, removals)
        problems += found
        seals, entries, removed, before = seals + 1, entries + count, removed + gone, seal
        if len(problems) >= MOST_PROBLEMS:
            break
    last = before.number if before else 0
    problems += [
        Problem(number, "seal_missing", None, f"There is a checkpoint of seal {number}, and it is missing.")
        for (company, number) in sorted(published)
        if company == str(company_id) and number > last
    ]
    return Verified(company_id, seals, entries, problems[:MOST_PROBLEMS], removed)


def _seals(company_id: UUID) -> Iterator[AuditSeal]:
    found = AuditSeal.objects.filter(company_id=company_id).order_by("number")
    return iter(found.iterator(chunk_size=10))


def _chain_problems(
    seal: AuditSeal, before: AuditSeal | None, published: dict[tuple[str, int], str]
) -> Iterator[Problem]:
    number = seal.number

    def problem(kind: str, text: str) -> Problem:
        return Problem(number, kind, None, text)

    if number != (before.number + 1 if before else 1):
        yield problem("seal_missing", f"Before seal {number} one is missing.")
    elif seal.previous != (before.digest if before else EMPTY.hex()):
        yield problem("seal_changed", f"Seal {number} does not follow the one before it.")
    if (seal.after_xid, seal.after_id) != ((before.until_xid, before.until_id) if before else (0, 0)):
        yield problem("seal_changed", f"Seal {number} does not begin where the one before it ends.")
    digest = digest_of(header_of(seal))
    if digest != seal.digest or root_of(leaves_of(seal)).hex() != seal.root:
        yield problem("seal_changed", f"Seal {number} was changed.")
    elif not checkpoints.is_genuine(digest, seal.signature):
        yield problem("seal_forged", f"Seal {number} was not signed by this installation.")
    if published.get((str(seal.company_id), number), digest) != digest:
        yield problem("seal_replaced", f"Seal {number} is not the one of the checkpoint.")


def _removals(company_id: UUID) -> dict[int, datetime]:
    """Entries that retention says it took away, with the time it says so; only what an entry of the log bears out."""
    said = {
        log_id: (at, digest)
        for log_id, at, digest in AuditLog.objects.filter(
            company_id=company_id, action=RETENTION
        ).values_list("pk", "at", "new_values__digest")
    }
    found: dict[int, datetime] = {}
    for removal in AuditRemoval.objects.filter(company_id=company_id):
        at, digest = said.get(removal.log_id, (None, ""))
        packed = bytes(removal.log_ids)
        if at is not None and digest == removal.digest == ids_digest(packed):
            found |= {int.from_bytes(item, "big"): at for item in parts(packed, ID_BYTES)}
    return found


def _entry_problems(seal: AuditSeal, removals: Mapping[int, datetime]) -> tuple[list[Problem], int, int]:
    """What is wrong with the seal's entries, how many there are, and how many retention took away."""
    number = seal.number
    sealed = dict(zip(log_ids_of(seal), zip(leaves_of(seal), salts_of(seal), strict=False), strict=False))
    problems = []
    rows = read_between(seal.company_id, (seal.after_xid, seal.after_id), (seal.until_xid, seal.until_id))
    for log_id, facts, values in rows:
        kept = sealed.pop(log_id, None)
        if kept is None:
            problems.append(Problem(number, "inserted", log_id, f"Entry {log_id} was put in later."))
        elif leaf_of(facts, kept[1], values) != kept[0]:
            problems.append(Problem(number, "changed", log_id, f"Entry {log_id} was changed."))
    # Retention takes nothing that was sealed a short time ago, so that it hides nothing new.
    gone = {
        log_id for log_id in sealed if log_id in removals and seal.sealed_at <= removals[log_id] - LEAST_KEPT
    }
    problems += [
        Problem(number, "removed", log_id, f"Entry {log_id} was removed.")
        for log_id in sealed
        if log_id not in gone
    ]
    return sorted(problems, key=lambda item: item.log_id or 0), len(rows), len(gone)


# --- single entries, and bundles -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Proof:
    """That an entry is in a seal: its leaf, and what leads from there to the root."""

    log_id: int
    leaf: bytes
    path: list[tuple[str, bytes]]
    # The entry as it is now still has its leaf, and the leaf leads to the root.
    is_intact: bool


def proof_of(seal: AuditSeal, log_id: int) -> Proof:
    """Raises: NotFound for an entry that the seal does not cover."""
    ids = log_ids_of(seal)
    if log_id not in ids:
        raise NotFound("This seal does not cover that entry.", code="not_sealed")
    place, leaves = ids.index(log_id), leaves_of(seal)
    path = path_of(leaves, place)
    rows = {row[0]: row for row in _rows_of(seal)}
    is_same = False
    if log_id in rows:
        _, facts, values = rows[log_id]
        is_same = leaf_of(facts, salts_of(seal)[place], values) == leaves[place]
    is_rooted = follow(leaves[place], path).hex() == seal.root
    return Proof(log_id, leaves[place], path, is_same and is_rooted)


def _rows_of(seal: AuditSeal) -> list[tuple[int, bytes, bytes]]:
    after, until = (seal.after_xid, seal.after_id), (seal.until_xid, seal.until_id)
    return read_between(seal.company_id, after, until)


def write_bundle(company_id: UUID, file: TextIO) -> int:
    """Write the company's seals with their entries, for `proofs.py`; how many entries. It holds their values.

    Needs a transaction that reaches the company.
    """
    written = 0
    for seal in _seals(company_id):
        _line(file, {"seal": header_of(seal)})
        kept = dict(zip(log_ids_of(seal), zip(leaves_of(seal), salts_of(seal), strict=True), strict=True))
        rows = {row[0]: row for row in _rows_of(seal)}
        for log_id in (*kept, *(log_id for log_id in rows if log_id not in kept)):
            leaf, salt = kept.get(log_id, (b"", b""))
            if log_id not in rows:
                _line(file, {"id": log_id, "is_removed": True, "leaf": leaf.hex()})
                continue
            _, facts, values = rows[log_id]
            _line(
                file,
                {
                    "id": log_id,
                    "facts": facts.decode(),
                    "values": values.decode(),
                    "salt": base64.b64encode(salt).decode(),
                    "leaf": leaf.hex(),
                },
            )
            written += 1
    for removal in AuditRemoval.objects.filter(company_id=company_id).order_by("log_id"):
        packed = bytes(removal.log_ids)
        _line(file, {"removal": removal.log_id, "ids": base64.b64encode(packed).decode()})
    return written


def _line(file: TextIO, document: dict[str, Any]) -> None:
    file.write(json.dumps(document, ensure_ascii=False) + "\n")
