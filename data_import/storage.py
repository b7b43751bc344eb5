"""Where uploaded files lie: below MEDIA_ROOT, by company and job, readable by the program alone."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from uuid import UUID

from django.conf import settings

from core.kernel.errors import TooLarge

MAX_FILE_BYTES = 512 * 1024 * 1024
BLOCK_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class StoredFile:
    """`path` is relative to MEDIA_ROOT."""

    path: str
    sha256: str
    size: int


def path_of(stored: str) -> Path:
    """The place of a stored file."""
    return Path(settings.MEDIA_ROOT) / stored


def store(company_id: UUID, job_id: UUID, blocks: Iterable[bytes]) -> StoredFile:
    """Write a file block by block, in bounded memory; it is durable when this returns.

    Raises: TooLarge; nothing is left then.
    """
    relative = f"{_folder(company_id)}/{job_id}"
    place = path_of(relative)
    place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    digest, size = hashlib.sha256(), 0
    try:
        with open(os.open(place, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            for block in blocks:
                size += len(block)
                if size > MAX_FILE_BYTES:
                    raise TooLarge(
                        f"A file may have {MAX_FILE_BYTES} bytes.",
                        code="file_too_large",
                        limit=MAX_FILE_BYTES,
                    )
                digest.update(block)
                file.write(block)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        place.unlink(missing_ok=True)
        raise
    return StoredFile(relative, digest.hexdigest(), size)


def stored_before(company_id: UUID, moment: datetime) -> Iterator[str]:
    """The company's files that were last written before that moment."""
    place = path_of(_folder(company_id))
    if not place.is_dir():
        return
    with os.scandir(place) as files:
        for file in files:
            if file.stat().st_mtime < moment.timestamp():
                yield f"{_folder(company_id)}/{file.name}"


def discard(stored: str) -> None:
    """Remove a stored file, if it is there."""
    path_of(stored).unlink(missing_ok=True)


def _folder(company_id: UUID) -> str:
    return f"imports/{company_id}"


def blocks_of(path: str | Path) -> Iterable[bytes]:
    """The content of a file of this machine, block by block."""
    with open(path, "rb") as file:
        while block := file.read(BLOCK_BYTES):
            yield block
