"""What imports plug into the registries below."""

from __future__ import annotations

from datetime import timedelta

from django.conf import settings

from core.delivery.kinds import NotificationKind, register_notification_kind
from core.files.kinds import FILE_KINDS, MIB, FileKind, readers_of_record

# Any type is taken: `engine.detect` says better than a media type why a file cannot be imported.
IMPORT_FILE = FILE_KINDS.register(
    "import",
    FileKind(
        name="import",
        max_bytes=512 * MIB,
        retention=lambda: timedelta(days=settings.IMPORT_RETENTION_DAYS),
        readers=readers_of_record,
    ),
)

IMPORT_FINISHED = register_notification_kind(
    NotificationKind(
        name="import.finished",
        label="Import finished",
        description="An import you started has ended: what came of it, and whether rows need your attention.",
    )
)
