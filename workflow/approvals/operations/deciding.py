"""Approvers vote, submitters take back, people comment."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from core.identity.rights import MANAGE_SETTINGS
from core.kernel.errors import Conflict, DomainError, Forbidden, NotFound
from core.kernel.transactions import savepoint
from core.tenancy.actors import Actor
from workflow.approvals import routing
from workflow.approvals.engine.votes import Rule, Vote, decide
from workflow.approvals.models import (
    UNFINISHED,
    ApprovalRequest,
    ApprovalTask,
    RequestStatus,
    TaskStatus,
)
from workflow.approvals.operations.requests import (
    close_tasks,
    finish,
    go_on,
    is_bound,
    keep,
    locked,
    note,
    process_of,
    refuse_reading_keys,
    subject_of,
    tell_approvers,
    tell_submitter,
)
from workflow.approvals.queries import seen_by
from workflow.approvals.schemas import ApprovalStepDocument


def approve(*, actor: Actor, request_id: UUID, now: datetime, comment: str = "") -> ApprovalRequest:
    """Agree. Needs a transaction; the request is locked, so votes come one after the other.

    Raises: NotFound, Forbidden (`not_an_approver`), Conflict (`already_decided`, `already_voted`, `values_changed`),
    Unprocessable where nobody can approve the next step: the vote is not kept then.
    """
    return _vote(actor, request_id, True, comment, now)


def approve_many(
    *, actor: Actor, request_ids: Collection[UUID], now: datetime, comment: str = ""
) -> dict[UUID, ApprovalRequest | DomainError]:
    """Agree to each request for itself: what became of each, or why it was refused. Needs a transaction."""
    found: dict[UUID, ApprovalRequest | DomainError] = {}
    # In one order for everybody, so that two such calls do not wait for each other.
    for request_id in sorted(set(request_ids)):
        try:
            with savepoint():
                found[request_id] = approve(actor=actor, request_id=request_id, comment=comment, now=now)
        except DomainError as refusal:
            found[request_id] = refusal
    return found


def reject(*, actor: Actor, request_id: UUID, now: datetime, comment: str = "") -> ApprovalRequest:
    """Disagree. Needs a transaction. Raises: as `approve`."""
    return _vote(actor, request_id, False, comment, now)


def seen(actor: Actor, request_id: UUID) -> ApprovalRequest:
    """The request, locked, for who may see it. Raises: NotFound; Forbidden for a key that may only read."""
    refuse_reading_keys(actor)
    if not seen_by(actor).filter(pk=request_id).exists():
        raise NotFound()
    return locked(request_id)


def refuse_ended(request: ApprovalRequest) -> None:
    """Raises: Conflict (`already_decided`) with the outcome."""
    if request.status != RequestStatus.PENDING:
        raise Conflict(
            f"The request is {RequestStatus(request.status).label.lower()} already.",
            code="already_decided",
            outcome=request.status,
        )


def open_task(request: ApprovalRequest, actor: Actor) -> ApprovalTask:
    """The actor's part in the open step. Raises: Conflict (`already_voted`), Forbidden (`not_an_approver`)."""
    own = ApprovalTask.objects.filter(
        request_id=request.pk, round=request.round, approver_id=actor.user_id
    ).first()
    if own is None:
        raise Forbidden("You are not asked in this step.", code="not_an_approver")
    if own.status == TaskStatus.WAITING:
        raise Forbidden("It is not your turn yet.", code="not_an_approver")
    if own.status != TaskStatus.OPEN:
        raise Conflict("You have voted already.", code="already_voted", outcome=own.status)
    found: ApprovalTask = own
    return found


def _vote(actor: Actor, request_id: UUID, approves: bool, comment: str, now: datetime) -> ApprovalRequest:
    request = seen(actor, request_id)
    refuse_ended(request)
    task = open_task(request, actor)
    if not is_bound(request):
        raise Conflict(
            "The record has changed since it was submitted; the request starts again.", code="values_changed"
        )
    task.status = TaskStatus.APPROVED if approves else TaskStatus.REJECTED
    task.decided_at, task.comment = now, comment
    task.save(update_fields=["status", "decided_at", "comment"])
    note(request, "approved" if approves else "rejected", now, person=actor.user_id, comment=comment)
    process = process_of(request)
    step = process.number(task.step)
    outcome = decide(rule_of(request, step, process.require_all_approvers), _votes(request))
    if outcome == "approved":
        go_on(request, routing.open_after(subject_of(request), process, step.step, now=now), now)
    elif outcome == "rejected":
        _turn_back(request, step, actor, comment, now)
    else:
        _next_in_line(request, now)
    return request


def rule_of(request: ApprovalRequest, step: ApprovalStepDocument, require_all: bool) -> Rule:
    """When the open round is decided: whoever it was escalated to decides alone."""
    return Rule("any") if request.escalation_level else step.rule(require_all=require_all)


def _votes(request: ApprovalRequest) -> list[Vote]:
    said = {TaskStatus.APPROVED: True, TaskStatus.REJECTED: False}
    rows = ApprovalTask.objects.filter(request_id=request.pk, round=request.round)
    return [
        Vote(weight, said.get(TaskStatus(status))) for weight, status in rows.values_list("weight", "status")
    ]


def _next_in_line(request: ApprovalRequest, now: datetime) -> None:
    """In a sequential step the next one is asked when the one before has agreed."""
    tasks = ApprovalTask.objects.filter(request_id=request.pk, round=request.round)
    if tasks.filter(status=TaskStatus.OPEN).exists():
        return
    following = tasks.filter(status=TaskStatus.WAITING).order_by("position").first()
    if following is not None:
        following.status = TaskStatus.OPEN
        following.save(update_fields=["status"])
        tell_approvers(request, [following], now)


def _turn_back(
    request: ApprovalRequest, step: ApprovalStepDocument, actor: Actor, comment: str, now: datetime
) -> None:
    if step.on_reject == "back_to_submitter":
        close_tasks(request)
        request.status, request.due_at = RequestStatus.DRAFT, None
        keep(request)
        note(request, "sent_back", now, person=actor.user_id, comment=comment)
        tell_submitter(request, f"Sent back: {process_of(request).name}", comment, now)
        return
    # The step that was asked before this one, not one that was skipped.
    earlier = ApprovalTask.objects.filter(request_id=request.pk, step__lt=step.step).order_by("-step").first()
    if step.on_reject == "back_to_previous" and earlier is not None:
        process = process_of(request)
        go_on(request, routing.open_step(subject_of(request), process, earlier.step, now=now), now)
        return
    finish(request, RequestStatus.REJECTED, now, person=actor.user_id, comment=comment)


def recall(*, actor: Actor, request_id: UUID, now: datetime, comment: str = "") -> ApprovalRequest:
    """Take a request back that is not decided. Needs a transaction.

    Raises: NotFound, Forbidden, Conflict (`already_decided`).
    """
    request = seen(actor, request_id)
    if request.submitted_by_id != actor.user_id and not actor.rights.can(MANAGE_SETTINGS):
        raise Forbidden("Whoever submitted the request takes it back.")
    if request.status not in UNFINISHED:
        refuse_ended(request)
    finish(request, RequestStatus.RECALLED, now, person=actor.user_id, comment=comment)
    return request


def comment_on(*, actor: Actor, request_id: UUID, comment: str, now: datetime) -> ApprovalRequest:
    """Say something about a request. Needs a transaction. Raises: NotFound."""
    request = seen(actor, request_id)
    note(request, "commented", now, person=actor.user_id, comment=comment)
    return request
