"""An approval is bound to values: where somebody changes them all the same, what was voted counts no more."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from core.kernel.errors import DomainError, NotFound
from core.kernel.transactions import needs_transaction
from workflow.approvals import routing
from workflow.approvals.models import ApprovalRequest, RequestStatus
from workflow.approvals.operations.requests import bind, finish, go_on, is_bound, note, process_of, subject_of


def void_changed(record_ids: Collection[UUID], *, now: datetime) -> int:
    """Start the pending requests of these records again whose values are not those that were submitted; how many.

    A request whose record is gone is canceled. Needs the company in context and a transaction. Harmless when repeated.
    """
    needs_transaction()
    voided = 0
    rows = ApprovalRequest.objects.select_for_update(no_key=True, of=("self",)).filter(
        record_id__in=list(record_ids), status=RequestStatus.PENDING
    )
    for request in rows.order_by("pk"):
        if is_bound(request):
            continue
        voided += 1
        try:
            bind(request)
        except NotFound:
            finish(request, RequestStatus.CANCELED, now, comment="The record is gone.")
            continue
        note(request, "voided", now)
        try:
            opening = routing.open_after(subject_of(request), process_of(request), 0, now=now)
        except DomainError as refusal:
            finish(request, RequestStatus.CANCELED, now, comment=refusal.detail)
            continue
        go_on(request, opening, now)
    return voided
