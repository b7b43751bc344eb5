"""A process of its own that carries an import on, to be killed at a fault point: `python -m … <company> <job> <media>`."""

from __future__ import annotations

import sys
from uuid import UUID

import django

django.setup()

from django.conf import settings  # noqa: E402 - Django first

from core.tenancy.actors import system_actor  # noqa: E402
from data_import.operations import staging  # noqa: E402
from data_import.operations.run import run_import  # noqa: E402

# Small batches, so that a few hundred rows have several.
staging.BATCH_ROWS = 100

if __name__ == "__main__":
    settings.MEDIA_ROOT = sys.argv[3]
    company, job = map(UUID, sys.argv[1:3])
    ended = run_import(actor=system_actor(company), job_id=job)
    sys.exit(0 if ended.status == "completed" else 3)
