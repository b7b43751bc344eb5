"""What keeps files from lying around for ever."""

from __future__ import annotations

import itertools
from datetime import datetime, timedelta
from uuid import UUID

from core.kernel.transactions import unit_of_work
from core.tenancy.context import company_context
from data_import.models import ImportJob
from data_import.storage import discard, stored_before

# Longer than any request takes between its file and its commit.
ORPHANED_AFTER = timedelta(days=1)
BATCH = 1_000


def remove_orphans(company_id: UUID, *, before: datetime) -> int:
    """Remove the company's files from before that moment which no import names: a file is there before its import, and
    stays when the request is undone, or its process dies, in between. Returns how many were removed."""
    removed = 0
    stored = stored_before(company_id, before)
    while batch := list(itertools.islice(stored, BATCH)):
        with company_context(company_id), unit_of_work():
            named = set(ImportJob.objects.filter(file_path__in=batch).values_list("file_path", flat=True))
        for path in batch:
            if path not in named:
                discard(path)
                removed += 1
    return removed
