"""What one company may have under way, told before any of it is staged."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.db import connection
from django.db.models import Sum

from core.kernel.errors import Conflict, TooLarge
from core.kernel.transactions import needs_transaction
from core.tenancy.actors import Actor
from data_import.engine.detect import Detection
from data_import.engine.records import read_records
from data_import.models import ImportJob, JobStatus

MIB = 1024 * 1024
# What a staged row takes beside its text, with its index; and how often its text is kept: as read and as understood.
ROW_BYTES = 350
TEXT_COPIES = 2
# Lines of one row on average, blank ones counted. Beyond that a file is not rows but lines without end.
LINES_PER_ROW = 20
BLOCK_BYTES = 1024 * 1024
# How many rows are read between two looks at whether to go on.
LOOK_EVERY = 10_000

CLOSED = (JobStatus.COMPLETED, JobStatus.COMPLETED_WITH_ERRORS, JobStatus.FAILED, JobStatus.CANCELED)


def require_room_for_job(actor: Actor) -> None:
    """Raises: Conflict (`too_many_open_imports`). Needs a transaction; uploads of a company take turns until its end."""
    needs_transaction()
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"{actor.company_id}:imports"]
        )
    limit = settings.IMPORT_MAX_OPEN_JOBS
    if ImportJob.objects.exclude(status__in=CLOSED).count() >= limit:
        raise Conflict(
            f"A company has at most {limit} imports open; finish or cancel some.",
            code="too_many_open_imports",
            limit=limit,
        )


def count_file_rows(file: Any, detection: Detection, look: Callable[[], None]) -> int:
    """At most how many rows the file has; exact where its lines alone would be too many.

    `look` is called now and then and may raise. Raises: TooLarge (`too_many_rows`, `too_many_lines`), UnusableFile.
    """
    limit = settings.IMPORT_MAX_ROWS
    lines = _count_lines(file, look)
    if lines <= limit:
        return lines
    if lines > limit * LINES_PER_ROW:
        raise TooLarge(
            f"An import takes {limit * LINES_PER_ROW:,} lines; this file has {lines:,}.",
            code="too_many_lines",
            limit=limit * LINES_PER_ROW,
        )
    rows = 0
    for rows, _ in enumerate(read_records(file, detection), 1):
        if rows > limit:
            raise TooLarge(
                f"An import takes {limit:,} rows; this file has more.", code="too_many_rows", limit=limit
            )
        if rows % LOOK_EVERY == 0:
            look()
    return rows


def _count_lines(file: Any, look: Callable[[], None]) -> int:
    """Not fewer than there are: what ends a line in any encoding holds one of these bytes."""
    file.seek(0)
    lines, after_return, blocks = 1, False, 0
    while block := file.read(BLOCK_BYTES):
        lines += block.count(b"\n") + block.count(b"\r") - block.count(b"\r\n")
        lines -= after_return and block.startswith(b"\n")
        after_return = block.endswith(b"\r")
        blocks += 1
        if blocks % 64 == 0:
            look()
    file.seek(0)
    return lines


def staged_bytes_of(job: ImportJob) -> int:
    """About how much room the job's staged rows will take."""
    rows = int(job.detected.get("max_rows") or 0)
    return TEXT_COPIES * job.file_size + ROW_BYTES * rows


def require_room_to_stage(job: ImportJob) -> None:
    """Raises: Conflict (`staging_full`) when the company's staged rows and these would be too many. Needs a transaction."""
    limit = settings.IMPORT_MAX_STAGED_MB * MIB
    others = ImportJob.objects.exclude(pk=job.pk).filter(staged_bytes__gt=0)
    taken = others.aggregate(total=Sum("staged_bytes"))["total"] or 0
    if taken + staged_bytes_of(job) > limit:
        raise Conflict(
            f"The rows of a company's imports may take {settings.IMPORT_MAX_STAGED_MB:,} MiB while they are kept; "
            f"these would take them beyond that.",
            code="staging_full",
            limit=limit,
        )
