"""The stored file of an import, opened for the engine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.utils import timezone

from core.files.queries import find_file, open_file
from core.kernel.errors import Gone, Invalid
from core.kernel.transactions import unit_of_work
from data_import.models import ImportJob

BLOCK_BYTES = 1024 * 1024


@contextmanager
def opened_source(job: ImportJob) -> Iterator[Any]:
    """The job's file, binary and seekable. Raises: Invalid (`file_missing`), Unavailable."""
    with unit_of_work():
        file = find_file(job.file_id, timezone.now())
    try:
        if file is None:
            raise Gone()
        source = open_file(file)
    except Gone:
        raise Invalid("The file is no longer there.", code="file_missing") from None
    try:
        yield source
    finally:
        source.close()


def blocks_of(path: str | Path) -> Iterator[bytes]:
    """The content of a file of this machine, block by block."""
    with open(path, "rb") as file:
        while block := file.read(BLOCK_BYTES):
            yield block
