"""A process of its own that stores, deletes or sweeps, to be killed: `python -m … <what> <company> <media> [id]`."""

from __future__ import annotations

import sys
from uuid import UUID

import django

django.setup()

from django.conf import settings  # noqa: E402 - Django first
from django.utils import timezone  # noqa: E402

from core.files.kinds import FILE_KINDS, FileKind  # noqa: E402
from core.files.operations import delete_files, store_file, sweep_files  # noqa: E402
from core.kernel.transactions import unit_of_work  # noqa: E402
from core.tenancy.actors import system_actor  # noqa: E402
from core.tenancy.context import actor_context  # noqa: E402

FILE_KINDS._entries["note"] = FileKind("note", max_bytes=1_000)

if __name__ == "__main__":
    what, company, settings.MEDIA_ROOT, *ids = sys.argv[1:]
    actor = system_actor(UUID(company))
    if what == "sweep":
        sweep_files(now=timezone.now())
        sys.exit()
    with actor_context(actor, source="test"), unit_of_work():
        if what == "store":
            store_file(actor=actor, kind="note", name="n", blocks=[b"kept"], now=timezone.now())
        else:
            delete_files(actor=actor, file_ids=[UUID(text) for text in ids], now=timezone.now())
