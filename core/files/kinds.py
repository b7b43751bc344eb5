"""Kinds of files: how large they may be, how long they are kept, what may be in them and who may read them.

An app registers its kinds in `extensions.py`. `operations.store_file` asks for size, retention and types,
`queries.get_file` for the readers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from core.access import view
from core.entities import entities
from core.kernel.registry import Registry
from core.tenancy.actors import Actor

if TYPE_CHECKING:
    from core.files.models import StoredFile

MIB = 1024 * 1024

Readers = Callable[[Actor, "StoredFile"], bool]


def owner_reads(actor: Actor, file: StoredFile) -> bool:
    """Whoever stored the file, and the system itself."""
    return actor.is_system or (file.created_by_id is not None and file.created_by_id == actor.user_id)


def readers_of_record(actor: Actor, file: StoredFile) -> bool:
    """Its owner, and whoever sees the record that the file belongs to."""
    if owner_reads(actor, file):
        return True
    entity = entities.find(file.entity_type)
    if entity is None or file.record_id is None:
        return False
    seen = view(entity, actor)
    return seen.can("read") and seen.records().filter(pk=file.record_id).exists()


@dataclass(frozen=True)
class FileKind:
    """What files of one kind are. `max_bytes` is inclusive."""

    name: str
    max_bytes: int
    # Called for each file, because settings may say it. None: kept until it is deleted.
    retention: Callable[[], timedelta | None] = lambda: None
    # Types as `content.content_type_of` names them; None: any.
    content_types: frozenset[str] | None = None
    readers: Readers = owner_reads


FILE_KINDS: Registry[FileKind] = Registry("kind of files")
