"""What keeps outbox and notifications from growing for ever."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.conf import settings
from django.db import connection

from core.delivery.models import Notification, OutgoingEmail
from core.kernel.transactions import unit_of_work

BATCH = 5_000

# A file that was used last before the oldest mail of its company was written is carried by none.
_UNUSED_FILES = """
DELETE FROM core_emailfile f WHERE f.last_used_at < %(before)s AND f.last_used_at < coalesce(
  (SELECT min(e.created_at) FROM core_outgoingemail e WHERE e.company_id IS NOT DISTINCT FROM f.company_id), %(before)s)"""


def purge_messages(*, now: datetime) -> dict[str, int]:
    """Remove ended mails, notifications and files past their time, in batches of a transaction each.

    Expects a system context.
    """
    mails = OutgoingEmail.objects.filter(closed_at__lt=now - timedelta(days=settings.KEEP_EMAILS_DAYS))
    notes = Notification.objects.filter(created_at__lt=now - timedelta(days=settings.KEEP_NOTIFICATIONS_DAYS))
    removed = {"emails": _in_batches(mails), "notifications": _in_batches(notes)}
    with unit_of_work(), connection.cursor() as cursor:
        cursor.execute(_UNUSED_FILES, {"before": now - timedelta(days=1)})
        removed["files"] = cursor.rowcount
    return removed


def _in_batches(queryset: object) -> int:
    removed = 0
    while True:
        with unit_of_work():
            keys = list(queryset.order_by("pk").values_list("pk", flat=True)[:BATCH])  # type: ignore[attr-defined]
            if keys:
                removed += queryset.model.objects.filter(pk__in=keys).delete()[0]  # type: ignore[attr-defined]
        if len(keys) < BATCH:
            return removed
