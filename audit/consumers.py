"""What audit does with the change stream."""

from __future__ import annotations

from django.utils import timezone

from audit.models import AuditLog
from audit.operations.policies import raise_alerts
from core.changes.stream import Batch, consumer


@consumer("audit.policies", from_now=True)
def ask_policies(batch: Batch) -> None:
    """Asks the company's policies of every entry."""
    ids = [change.log_id for change in batch.changes]
    found = {entry.pk: entry for entry in AuditLog.objects.filter(pk__in=ids).select_related("context")}
    entries = [found[log_id] for log_id in ids if log_id in found]
    raise_alerts(actor=batch.actor, entries=entries, now=timezone.now())
