"""The engine's reader of the change stream."""

from __future__ import annotations

from django.utils import timezone

from core.changes.stream import Batch, consumer
from workflow.operations.starting import start_on


@consumer("workflow.triggers", from_now=True)
def start_workflows(batch: Batch) -> None:
    """Starts the workflows whose triggers the changes meet; each trigger once for each change, however often it is seen."""
    start_on(batch.company_id, batch.changes, now=timezone.now())
