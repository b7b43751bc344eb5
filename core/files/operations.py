"""Every write of stored files. `blobs.py` says how rows and bytes stay together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from uuid import UUID

import structlog
from django.db import connection, transaction

from core.changes import Rows, WriteSpec, erase, insert
from core.files import blobs
from core.files.blobs import Incoming, Mark
from core.files.kinds import FILE_KINDS
from core.files.links import LinkToken
from core.files.models import StoredFile
from core.files.names import clean_name
from core.kernel.errors import DomainError, Invalid
from core.kernel.faultpoints import declare, fault
from core.kernel.ids import uuid7
from core.kernel.transactions import needs_transaction, unit_of_work
from core.tenancy.actors import Actor, system_actor
from core.tenancy.context import actor_context, system_context

declare(
    "file.store.after_mark",
    "file.store.after_bytes",
    "file.store.after_row",
    "file.store.after_commit",
    "file.delete.after_mark",
    "file.delete.after_row",
    "file.delete.after_commit",
    "file.delete.after_bytes",
)

DEFAULT_LINK_LIFETIME = timedelta(hours=24)
MIN_LINK_LIFETIME = timedelta(minutes=1)
MAX_LINK_LIFETIME = timedelta(days=7)
BATCH = 200

_SPEC = WriteSpec(StoredFile)
_log = structlog.get_logger("atrium.files")


def store_file(
    *,
    actor: Actor,
    kind: str,
    name: str,
    blocks: Iterable[bytes],
    now: datetime,
    expires_at: datetime | None = None,
    entity_type: str = "",
    record_id: UUID | None = None,
) -> StoredFile:
    """Store a file, block by block in constant memory. Needs a transaction.

    The file exists when the transaction commits; when it does not, the bytes go too, at the latest with the next sweep.
    `expires_at` is by default what the kind says. Raises: TooLarge (more than the kind allows), Invalid
    (`type_not_allowed`), InsufficientStorage (no room left), Unavailable (the storage does not answer).
    """
    needs_transaction()
    rule = FILE_KINDS[kind]
    file_id = uuid7()
    incoming = Incoming(blocks, clean_name(name), rule.max_bytes)
    if rule.content_types is not None and incoming.content_type not in rule.content_types:
        raise Invalid(
            f"This is {incoming.content_type}; allowed are: {', '.join(sorted(rule.content_types))}.",
            code="type_not_allowed",
        )
    retention = rule.retention()
    if expires_at is None and retention is not None:
        expires_at = now + retention
    key = f"files/{actor.company_id}/{now:%Y-%m}/{file_id}"
    _lock(file_id)
    mark = blobs.lay_mark(file_id, key)
    fault("file.store.after_mark")
    try:
        blobs.save(key, incoming)
        fault("file.store.after_bytes")
        row = {
            "id": file_id,
            "kind": kind,
            "name": incoming.name,
            "content_type": incoming.content_type,
            "size": incoming.measured,
            "sha256": incoming.sha256,
            "storage_key": key,
            "entity_type": entity_type,
            "record_id": record_id,
            "expires_at": expires_at,
        }
        insert(_SPEC, Rows.of(StoredFile, [row]), actor=actor, now=now).raise_if_refused()
    except BaseException:
        # At once where that is possible: a disk that is full needs the room. The mark stays for what cannot be removed.
        _settle([mark], [key])
        raise
    fault("file.store.after_row")
    transaction.on_commit(partial(_stored, mark), robust=True)
    return StoredFile(company_id=actor.company_id, created_by_id=actor.user_id, created_at=now, **row)


def _stored(mark: Mark) -> None:
    fault("file.store.after_commit")
    _settle([mark], [])


def delete_files(*, actor: Actor, file_ids: Sequence[UUID], now: datetime) -> int:
    """Delete files of the company; their bytes go after the commit, their links open nothing. Needs a transaction.

    Ids that are not there (any more) are passed over. Returns how many files were deleted.
    """
    needs_transaction()
    found = list(
        StoredFile.objects.filter(pk__in=list(file_ids))
        .select_for_update()
        .order_by("pk")
        .values_list("pk", "storage_key")
    )
    if not found:
        return 0
    marks = []
    for file_id, key in found:
        _lock(file_id)
        marks.append(blobs.lay_mark(file_id, key))
    fault("file.delete.after_mark")
    rows = Rows.of(StoredFile, [{"id": file_id} for file_id, _ in found])
    erase(_SPEC, rows, actor=actor, now=now).raise_if_refused()
    fault("file.delete.after_row")
    transaction.on_commit(partial(_deleted, marks, [key for _, key in found]), robust=True)
    return len(found)


def _deleted(marks: Sequence[Mark], keys: Sequence[str]) -> None:
    fault("file.delete.after_commit")
    _settle(marks, keys)


def _settle(marks: Sequence[Mark], keys: Sequence[str]) -> None:
    """Remove bytes that no row names, then the marks. What the storage refuses now is left to the sweep."""
    try:
        for key in keys:
            blobs.remove(key)
        if keys:
            fault("file.delete.after_bytes")
        for mark in marks:
            blobs.remove(mark.key)
    except (DomainError, OSError) as error:
        _log.warning("left_to_the_sweep", error=str(error))


# --- links ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Link:
    """A way to a file without signing in; `token` belongs into `/api/v1/files/d/{token}/`."""

    token: str
    expires_at: datetime


def create_link(file: StoredFile, *, now: datetime, lifetime: timedelta = DEFAULT_LINK_LIFETIME) -> Link:
    """A link to a file that the caller may read. It ends with its lifetime, with its file, or when it is revoked.

    Raises: Invalid for a lifetime beyond `MAX_LINK_LIFETIME` or below `MIN_LINK_LIFETIME`.
    """
    if not MIN_LINK_LIFETIME <= lifetime <= MAX_LINK_LIFETIME:
        raise Invalid(
            f"A link opens for {MIN_LINK_LIFETIME.total_seconds():.0f} to "
            f"{MAX_LINK_LIFETIME.total_seconds():.0f} seconds.",
            code="bad_lifetime",
        )
    end = now + lifetime
    if file.expires_at is not None:
        end = min(end, file.expires_at)
    end = end.replace(microsecond=0)
    return Link(LinkToken(file.company_id, file.pk, file.link_version, end).sign(), end)


def revoke_links(*, actor: Actor, file: StoredFile, now: datetime) -> None:
    """Make every link to the file void. Needs a transaction."""
    needs_transaction()
    with connection.cursor() as cursor:
        # Counted here, so that two revocations at once are two.
        cursor.execute(
            "UPDATE core_storedfile SET link_version = link_version + 1, version = version + 1, updated_at = %s, "
            "updated_by_id = %s WHERE company_id = %s AND id = %s",
            [now, actor.user_id, actor.company_id, file.pk],
        )


def count_download(file: StoredFile) -> None:
    """Note that the file was read. Needs a transaction in a context that reaches the file."""
    needs_transaction()
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE core_storedfile SET download_count = download_count + 1 WHERE company_id = %s AND id = %s",
            [file.company_id, file.pk],
        )


# --- sweeping ------------------------------------------------------------------------------------------------------


def _no_heartbeat() -> None:
    return None


def sweep_files(*, now: datetime, heartbeat: Callable[[], None] = _no_heartbeat) -> dict[str, int]:
    """Delete files whose time is over, in every company, and bytes whose row never came to be. Own transactions.

    `heartbeat` is called between batches and may raise to end the sweep, which goes on where it was the next time.
    """
    return {"expired": _delete_expired(now, heartbeat), "orphaned": _settle_doubts(heartbeat)}


def _delete_expired(now: datetime, heartbeat: Callable[[], None]) -> int:
    removed = 0
    while True:
        heartbeat()
        with system_context("files whose time is over"), unit_of_work():
            expired = list(
                StoredFile.objects.filter(expires_at__lte=now)
                .order_by("expires_at")
                .values_list("company_id", "pk")[:BATCH]
            )
        taken = 0
        for company_id in {company_id for company_id, _ in expired}:
            actor = system_actor(company_id)
            with actor_context(actor, source="task"), unit_of_work():
                ids = [file_id for owner, file_id in expired if owner == company_id]
                taken += delete_files(actor=actor, file_ids=ids, now=now)
        removed += taken
        # Without headway somebody else is at the same files.
        if len(expired) < BATCH or not taken:
            return removed


def _settle_doubts(heartbeat: Callable[[], None]) -> int:
    """Look at every mark whose writer has ended, and remove bytes that no row names."""
    removed = 0
    for place, mark in enumerate(list(blobs.list_marks())):
        if place % BATCH == 0:
            heartbeat()
        with system_context("files whose fate is open"), unit_of_work():
            is_settled = _try_lock(mark.file_id)
            # Asked for after the lock was got: whatever its holder did is seen.
            exists = is_settled and StoredFile.objects.filter(pk=mark.file_id).exists()
        if not is_settled:
            continue
        key = "" if exists else blobs.marked_key(mark)
        _settle([mark], [key] if key else [])
        removed += bool(key)
    return removed


def _key_of_lock(file_id: UUID) -> str:
    return f"file:{file_id}"


def _lock(file_id: UUID) -> None:
    """Keep the sweep away from the file until this transaction has ended."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [_key_of_lock(file_id)])


def _try_lock(file_id: UUID) -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(hashtextextended(%s, 0))", [_key_of_lock(file_id)])
        return bool(cursor.fetchone()[0])
