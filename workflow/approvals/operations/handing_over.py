"""Approvers give their part to somebody else; administrators give anybody's."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from core.identity.models import Membership
from core.kernel.errors import Conflict, Fault, Invalid, Unprocessable
from core.tenancy.actors import Actor
from workflow.approvals.models import UNDECIDED, ApprovalRequest, ApprovalTask, TaskStatus
from workflow.approvals.operations.deciding import open_task, refuse_ended, seen
from workflow.approvals.operations.requests import locked, note, process_of, tell_approvers


def delegate(
    *, actor: Actor, request_id: UUID, to: UUID, now: datetime, comment: str = ""
) -> ApprovalRequest:
    """Give one's own part in the open step to another member. Needs a transaction.

    Raises: NotFound, Forbidden, Invalid, Conflict (`already_decided`, `already_voted`, `not_delegable`,
    `already_asked`), Unprocessable (`own_request`).
    """
    request = seen(actor, request_id)
    refuse_ended(request)
    task = open_task(request, actor)
    if not process_of(request).number(task.step).allow_delegate:
        raise Conflict("This step cannot be delegated.", code="not_delegable")
    _give(request, task, to, now)
    note(request, "delegated", now, person=actor.user_id, comment=comment)
    return request


def reassign(
    *, actor: Actor, request_id: UUID, task_id: UUID, to: UUID, now: datetime, comment: str = ""
) -> ApprovalRequest:
    """Give somebody's part in the open step to another member. Needs a transaction.

    Raises: NotFound, Invalid, Conflict (`already_decided`, `already_asked`), Unprocessable (`own_request`).
    """
    request = locked(request_id)
    refuse_ended(request)
    task = ApprovalTask.objects.filter(
        pk=task_id, request_id=request.pk, round=request.round, status__in=UNDECIDED
    ).first()
    if task is None:
        raise Invalid(faults=[Fault("task", "does_not_exist", "There is no such open task.")])
    _give(request, task, to, now)
    note(request, "reassigned", now, person=actor.user_id, comment=comment)
    return request


def _give(request: ApprovalRequest, task: ApprovalTask, to: UUID, now: datetime) -> None:
    if not Membership.objects.filter(user_id=to, is_active=True, user__is_active=True).exists():
        raise Invalid(faults=[Fault("to", "does_not_exist", "There is no such active member.")])
    if to == request.submitted_by_id and not process_of(request).allow_self_approval:
        raise Unprocessable("Nobody approves their own request.", code="own_request")
    # A person has one vote in a step.
    if ApprovalTask.objects.filter(request_id=request.pk, round=request.round, approver_id=to).exists():
        raise Conflict("They are asked in this step already.", code="already_asked")
    task.delegated_from_id, task.approver_id = task.approver_id, to
    task.save(update_fields=["delegated_from", "approver"])
    if task.status == TaskStatus.OPEN:
        tell_approvers(request, [task], now)
