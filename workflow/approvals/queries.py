"""Reads of approvals: who sees which requests, whose turn it is, and what would happen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import Count, Q, QuerySet

from core.identity.rights import MANAGE_SETTINGS
from core.kernel.errors import Unprocessable
from core.tenancy.actors import Actor
from workflow.approvals import routing
from workflow.approvals.models import ApprovalRequest, ApprovalTask, RequestStatus, TaskStatus
from workflow.approvals.routing import Opening, Resolved, Subject
from workflow.approvals.schemas import ApprovalStepDocument, ProcessDocument


def seen_by(actor: Actor) -> QuerySet[Any]:
    """One's own requests and those one is or was asked about; all of them for who manages settings."""
    rows: QuerySet[Any] = ApprovalRequest.objects.all()
    if actor.rights.can(MANAGE_SETTINGS):
        return rows
    asked = ApprovalTask.objects.filter(approver_id=actor.user_id).exclude(status=TaskStatus.WAITING)
    return rows.filter(Q(submitted_by_id=actor.user_id) | Q(pk__in=asked.values("request_id")))


def inbox(actor: Actor) -> QuerySet[Any]:
    """The tasks that wait for the actor."""
    found: QuerySet[Any] = ApprovalTask.objects.filter(approver_id=actor.user_id, status=TaskStatus.OPEN)
    return found


@dataclass(frozen=True)
class InboxCounts:
    open: int
    overdue: int


def count_inbox(actor: Actor, *, now: datetime) -> InboxCounts:
    """How many tasks wait for the actor, and how many of them too long. One statement."""
    found = inbox(actor).aggregate(open=Count("pk"), overdue=Count("pk", filter=Q(request__due_at__lte=now)))
    return InboxCounts(**found)


@dataclass(frozen=True)
class PlannedStep:
    """A step as it would be asked; skipped where its condition does not hold."""

    step: ApprovalStepDocument
    skipped: bool
    approvers: Sequence[Resolved] = ()
    level: int = 0
    hours: float | None = None
    # Why nobody could be asked.
    error_code: str = ""
    error: str = ""


def simulate(subject: Subject, process: ProcessDocument, *, now: datetime) -> list[PlannedStep]:
    """What would be asked of whom if the record were submitted now and everybody agreed at once.

    It walks as requests do, so what it says is what happens. Raises: NotFound where the record is gone.
    """
    found: list[PlannedStep] = []
    after = 0
    while True:
        try:
            opening: Opening = routing.open_after(subject, process, after, now=now)
        except Unprocessable as refusal:
            later = [
                step
                for step in sorted(process.steps, key=lambda item: item.step)
                if step.step > after and routing.holds(subject, step.condition, now=now)
            ]
            found.append(PlannedStep(later[0], False, error_code=refusal.code, error=refusal.detail))
            return found
        found += [PlannedStep(step, True) for step in opening.skipped]
        if opening.step is None:
            return found
        wait = None if opening.due_at is None else (opening.due_at - now) / timedelta(hours=1)
        found.append(PlannedStep(opening.step, False, opening.approvers, opening.level, wait))
        after = opening.step.step


def pending_locks(entity_type: str) -> set[str]:
    """Fields of this kind of record that some pending request locks."""
    rows = ApprovalRequest.objects.filter(entity_type=entity_type, status=RequestStatus.PENDING)
    return {name for names in rows.values_list("locked_fields", flat=True).distinct() for name in names}


def tasks_of(request_ids: Sequence[UUID]) -> dict[UUID, list[ApprovalTask]]:
    """The tasks of each request in the order of their asking. One statement."""
    found: dict[UUID, list[ApprovalTask]] = {}
    rows = ApprovalTask.objects.filter(request_id__in=list(request_ids))
    for task in rows.order_by("round", "position", "pk"):
        found.setdefault(task.request_id, []).append(task)
    return found
