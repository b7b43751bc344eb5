"""Steps that nobody decides in time go up the chain: each level once, however many workers look."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

from core.identity.rights import MANAGE_SETTINGS
from core.jobs import enqueue
from core.kernel.errors import Conflict, Forbidden
from core.kernel.transactions import needs_transaction
from core.tenancy.actors import Actor
from workflow.approvals import routing
from workflow.approvals.models import ApprovalRequest, RequestStatus
from workflow.approvals.operations.deciding import refuse_ended, seen
from workflow.approvals.operations.requests import ask, finish, note, process_of, subject_of

ESCALATE = "workflow.escalate"
# Requests that one look hands on.
MAX_HANDED_ON = 10_000

_ENDS = {
    "expire": RequestStatus.EXPIRED,
    "approve": RequestStatus.APPROVED,
    "reject": RequestStatus.REJECTED,
}


def hand_on_overdue(*, now: datetime) -> int:
    """A job for each company with requests that are overdue. Needs a transaction and a system context."""
    needs_transaction()
    found: dict[UUID, list[str]] = defaultdict(list)
    rows = ApprovalRequest.objects.filter(status=RequestStatus.PENDING, due_at__lte=now).order_by("due_at")
    for company_id, key in rows.values_list("company_id", "pk")[:MAX_HANDED_ON]:
        found[company_id].append(str(key))
    for company_id, keys in found.items():
        enqueue(kind=ESCALATE, payload={"requests": keys}, company_id=company_id, key="overdue", now=now)
    return sum(map(len, found.values()))


def escalate_due(request_ids: Iterable[UUID], *, now: datetime) -> int:
    """Raise those of the requests that are overdue now; how many. Needs the company in context and a transaction.

    A request that somebody else holds is left to them; one that was raised already is not due any more.
    """
    needs_transaction()
    rows = ApprovalRequest.objects.select_for_update(no_key=True, of=("self",), skip_locked=True).filter(
        pk__in=list(request_ids), status=RequestStatus.PENDING, due_at__lte=now
    )
    raised = 0
    for request in rows.order_by("due_at", "pk"):
        _raise_level(request, now, person=None, comment="")
        raised += 1
    return raised


def escalate(*, actor: Actor, request_id: UUID, now: datetime, comment: str = "") -> ApprovalRequest:
    """Raise a request by one level without waiting for its time. Needs a transaction.

    For whoever submitted it, and for administrators. Raises: NotFound, Forbidden, Conflict (`already_decided`,
    `end_of_chain`).
    """
    request = seen(actor, request_id)
    if request.submitted_by_id != actor.user_id and not actor.rights.can(MANAGE_SETTINGS):
        raise Forbidden("Whoever submitted the request escalates it.")
    refuse_ended(request)
    _, people = routing.next_level(subject_of(request), process_of(request), request.escalation_level)
    if not people:
        raise Conflict("There is nobody further up to escalate to.", code="end_of_chain")
    _raise_level(request, now, person=actor.user_id, comment=comment)
    return request


def _raise_level(request: ApprovalRequest, now: datetime, *, person: UUID | None, comment: str) -> None:
    process, subject = process_of(request), subject_of(request)
    level, approvers = routing.next_level(subject, process, request.escalation_level)
    if not approvers:
        finish(request, _ENDS[process.at_chain_end], now, comment="Nobody decided in time.")
        return
    assert request.current_step is not None  # noqa: S101 - a pending request has a step
    request.escalation_level = level
    request.due_at = routing.due(process, process.number(request.current_step), now)
    note(request, "escalated", now, person=person, comment=comment)
    ask(request, approvers, now)
