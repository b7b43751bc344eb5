"""Reading stored files: who may, and how."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Q

from core.files.blobs import open_bytes
from core.files.kinds import FILE_KINDS
from core.files.links import read_token
from core.files.models import StoredFile
from core.kernel.errors import Gone, NotFound
from core.tenancy.actors import Actor
from core.tenancy.context import company_context


def find_file(file_id: UUID | None, now: datetime) -> StoredFile | None:
    """A file of the company in context that has not expired, whoever may read it."""
    kept = Q(expires_at__isnull=True) | Q(expires_at__gt=now)
    found: StoredFile | None = StoredFile.objects.filter(kept, pk=file_id).first() if file_id else None
    return found


def get_file(actor: Actor, file_id: str | UUID, now: datetime) -> StoredFile:
    """A file that the actor may read by the rule of its kind.

    Raises: NotFound, alike for what never was, what has expired and what is not for them.
    """
    try:
        key = file_id if isinstance(file_id, UUID) else UUID(file_id)
    except ValueError:
        raise NotFound() from None
    file = find_file(key, now)
    kind = FILE_KINDS.find(file.kind) if file is not None else None
    if file is None or kind is None or not kind.readers(actor, file):
        raise NotFound()
    # A key for machines reads no more than it was made for, though its owner may.
    if actor.api_key_id is not None and not actor.rights.can("read", file.entity_type):
        raise NotFound()
    return file


def get_linked_file(token: str, now: datetime) -> StoredFile:
    """The file that a link opens. Binds the link's company while it reads.

    Raises: NotFound for a token that is not ours; Gone when the link has expired or was revoked, or its file is gone.
    """
    link = read_token(token)
    if link is None:
        raise NotFound()
    with company_context(link.company_id):
        file = find_file(link.file_id, now)
    if file is None or file.link_version != link.link_version or link.expires_at <= now:
        raise Gone("This link has expired or was revoked.", code="link_expired")
    return file


def open_file(file: StoredFile) -> Any:
    """The file's bytes, seekable; the caller closes them. Raises: Gone, Unavailable."""
    try:
        return open_bytes(file.storage_key)
    except FileNotFoundError:
        raise Gone("The content of this file is missing.", code="file_missing") from None
