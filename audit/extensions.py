"""What audit plugs into the registries below."""

from __future__ import annotations

from datetime import timedelta

from django.conf import settings

from audit.rights import MANAGE_AUDIT, VIEW_AUDIT
from core.files.kinds import FILE_KINDS, MIB, FileKind, owner_reads
from core.files.models import StoredFile
from core.identity.rights import PERMISSION_WORDS
from core.tenancy.actors import Actor

PERMISSION_WORDS.register(
    VIEW_AUDIT, "See the change log of the whole company: who did what, when and from where"
)
PERMISSION_WORDS.register(
    MANAGE_AUDIT, "Review entries of the change log, write its policies, export it and report on it"
)


def _managers_read(actor: Actor, file: StoredFile) -> bool:
    return owner_reads(actor, file) or actor.rights.can(MANAGE_AUDIT)


# An export holds values by the field modes of whoever asked for it, so it is theirs alone.
FILE_KINDS.register(
    "audit_export",
    FileKind(
        name="audit_export",
        max_bytes=settings.AUDIT_EXPORT_MAX_MB * MIB,
        retention=lambda: timedelta(days=settings.AUDIT_EXPORT_RETENTION_DAYS),
    ),
)
FILE_KINDS.register(
    "compliance_report",
    FileKind(
        name="compliance_report",
        max_bytes=64 * MIB,
        retention=lambda: timedelta(days=settings.COMPLIANCE_REPORT_RETENTION_DAYS),
        readers=_managers_read,
    ),
)
