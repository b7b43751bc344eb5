"""The bytes of stored files, by Django's storage API alone, and the marks that keep them from being orphaned.

A row and its bytes cannot change in one transaction. So before either is touched a mark is laid into the storage below
`in-doubt/`, and it is taken away when row and bytes agree again. Whoever writes holds the file's lock in the database
until its transaction has ended. A sweep that finds a mark and gets the lock knows the outcome: no row, no bytes. It needs
to list nothing but the marks.
"""

from __future__ import annotations

import errno
import hashlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import structlog
from django.core.files.base import ContentFile, File
from django.core.files.storage import Storage, storages

from core.files.content import HEAD_BYTES, content_type_of
from core.kernel.errors import InsufficientStorage, TooLarge, Unavailable
from core.kernel.ids import uuid7

BLOCK_BYTES = 256 * 1024
MARKS = "in-doubt"
RETRY_SECONDS = 30

_FULL = (errno.ENOSPC, errno.EDQUOT)
_log = structlog.get_logger("atrium.files")


def storage() -> Storage:
    """Where files lie; `STORAGES["files"]` says it."""
    return storages["files"]


@contextmanager
def storage_errors() -> Iterator[None]:
    """Raises: InsufficientStorage (no room left), Unavailable (any other fault of the storage)."""
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        _log.error("storage_failed", exc_info=error)
        if error.errno in _FULL:
            raise InsufficientStorage("There is no room left to store files.") from error
        raise Unavailable(
            "Files cannot be stored now.", code="storage_unavailable", retry_after=RETRY_SECONDS
        ) from error


class Incoming(File):
    """Blocks on their way into a storage: read once, measured and hashed on the way, never held together.

    Raises while it is read: TooLarge.
    """

    def __init__(self, blocks: Iterable[bytes], name: str, max_bytes: int) -> None:
        super().__init__(None, name)
        self.max_bytes = max_bytes
        self.measured = 0
        self._digest = hashlib.sha256()
        self._blocks = filter(None, blocks)
        self._rest = b""
        # Looked at first, so that a type that is not wanted is refused before anything is written.
        while len(self._rest) < HEAD_BYTES and (block := next(self._blocks, b"")):
            self._rest += block
        self.content_type = content_type_of(self._rest[:HEAD_BYTES], name)

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()

    def chunks(self, chunk_size: int | None = None) -> Iterator[bytes]:
        # An empty block makes storages create an empty file.
        yield self._counted(self._taken())
        for block in self._blocks:
            yield self._counted(block)

    def read(self, size: int = -1) -> bytes:
        parts = [self._taken()]
        wanted = size if size >= 0 else self.max_bytes + 1
        while sum(map(len, parts)) < wanted and (block := next(self._blocks, b"")):
            parts.append(block)
        whole = b"".join(parts)
        self._rest = whole[wanted:]
        return self._counted(whole[:wanted])

    def _taken(self) -> bytes:
        taken, self._rest = self._rest, b""
        return taken

    def _counted(self, block: bytes) -> bytes:
        self.measured += len(block)
        if self.measured > self.max_bytes:
            raise TooLarge(
                f"A file may have {self.max_bytes} bytes.", code="file_too_large", limit=self.max_bytes
            )
        self._digest.update(block)
        return block

    def seek(self, offset: int, whence: int = 0) -> int:
        # Storages rewind what they are given; there is nothing to rewind before the first byte is read.
        if offset or whence or self.measured:
            raise OSError(errno.ESPIPE, "blocks on their way are read once")
        return 0

    def seekable(self) -> bool:
        return False

    def readable(self) -> bool:
        return True

    def close(self) -> None:
        pass

    @property
    def closed(self) -> bool:
        return False

    @property
    def size(self) -> int:
        return self.measured


def save(key: str, content: File) -> None:
    """Write a new file. Raises: InsufficientStorage, Unavailable, and what `content` raises."""
    with storage_errors():
        stored = storage().save(key, content)
    if stored != key:
        raise Unavailable(f"The storage keeps {stored!r} instead of {key!r}.", code="storage_unavailable")


def remove(key: str) -> None:
    """Remove the bytes, if they are there."""
    with storage_errors():
        if storage().exists(key):
            storage().delete(key)


def open_bytes(key: str) -> Any:
    """A seekable binary file to read from; the caller closes it. Raises: FileNotFoundError, Unavailable."""
    with storage_errors():
        return storage().open(key, "rb")


# --- marks ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Mark:
    """A file whose row and bytes may disagree."""

    file_id: UUID
    # Its own key in the storage.
    key: str


def lay_mark(file_id: UUID, storage_key: str) -> Mark:
    """Say that the file is being written or removed. The caller holds the file's lock already."""
    mark = Mark(file_id, f"{MARKS}/{file_id}.{uuid7()}")
    save(mark.key, ContentFile(storage_key.encode()))
    return mark


def list_marks() -> Iterator[Mark]:
    """Every mark that lies in the storage."""
    try:
        with storage_errors():
            _, names = storage().listdir(MARKS)
    except FileNotFoundError:
        return
    for name in names:
        try:
            yield Mark(UUID(name.partition(".")[0]), f"{MARKS}/{name}")
        except ValueError:
            _log.warning("stray_file", key=f"{MARKS}/{name}")


def marked_key(mark: Mark) -> str:
    """The key of the marked file's bytes; empty when the mark was never finished, so that nothing followed it."""
    try:
        with open_bytes(mark.key) as content:
            return str(content.read().decode())
    except FileNotFoundError:
        return ""
