"""The reader of the change stream that watches what approvals are bound to."""

from __future__ import annotations

from django.utils import timezone

from core.changes.stream import Batch, consumer
from workflow.approvals.operations import void_changed


@consumer("workflow.approvals", from_now=True)
def watch_bound_values(batch: Batch) -> None:
    """Starts requests again whose record has other values than were submitted."""
    changed = {change.entity_id for change in batch.changes if change.entity_id is not None}
    if changed:
        void_changed(changed, now=timezone.now())
