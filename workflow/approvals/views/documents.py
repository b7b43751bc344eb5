"""What the endpoints of approvals take and answer."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, cast
from uuid import UUID

from pydantic import Field

from workflow.approvals import queries
from workflow.approvals.models import ApprovalEvent, ApprovalRequest, ApprovalTask
from workflow.approvals.operations.requests import process_of
from workflow.schemas import Part

MAX_COMMENT = 10_000


class SubmitInput(Part):
    """Which record is submitted to which process."""

    process: UUID
    entity_type: str = Field(max_length=64)
    entity_id: UUID
    comment: str = Field("", max_length=MAX_COMMENT)


class CommentInput(Part):
    """A word to go with it."""

    comment: str = Field("", max_length=MAX_COMMENT)


class SayInput(Part):
    """What somebody has to say."""

    comment: str = Field(min_length=1, max_length=MAX_COMMENT)


class DelegateInput(CommentInput):
    """Who decides instead: a member's id."""

    to: UUID


class ApprovalReassignInput(DelegateInput):
    """Whose part it is that somebody else gets."""

    task: UUID


class BulkInput(CommentInput):
    """Which requests are approved."""

    ids: list[UUID] = Field(min_length=1, max_length=100)


class SimulateInput(Part):
    """Which record would be submitted, by whoever asks."""

    entity_id: UUID


class ApprovalTaskDocument(Part):
    """One approver's part."""

    id: UUID
    step: int
    round: int
    approver: UUID
    resolved_from: str
    weight: int
    status: str
    decided_at: datetime | None
    comment: str
    delegated_from: UUID | None


class ApprovalRequestDocument(Part):
    """A request, with the parts of its approvers."""

    id: UUID
    process: UUID
    process_name: str
    process_version: int
    entity_type: str
    entity_id: UUID
    submitted_by: UUID
    comment: str
    status: str
    current_step: int | None
    round: int
    escalation_level: int
    due_at: datetime | None
    locked_fields: list[str]
    created_at: datetime
    finished_at: datetime | None
    tasks: list[ApprovalTaskDocument]


class ApprovalEventDocument(Part):
    """Something that happened to a request; `person` is null where time did it."""

    kind: str
    step: int | None
    person: UUID | None
    comment: str
    at: datetime


class ApprovalHistoryDocument(Part):
    events: list[ApprovalEventDocument]


class InboxDocument(Part):
    """A request that waits for the caller, and since when."""

    task: UUID
    asked_at: datetime
    request: ApprovalRequestDocument


class InboxCountsDocument(Part):
    open: int
    overdue: int


class PlannedApproverDocument(Part):
    person: UUID
    resolved_from: str
    weight: int


class PlannedApprovalStepDocument(Part):
    """A step as it would be asked. `hours`: until it escalates, from when it opens."""

    step: int
    name: str
    skipped: bool
    approvers: list[PlannedApproverDocument]
    escalation_level: int
    hours: float | None
    error_code: str
    error: str


class SimulationDocument(Part):
    """What would happen if everybody agreed. `applies` is whether the record meets the entry condition."""

    applies: bool
    steps: list[PlannedApprovalStepDocument]


class BulkOutcomeDocument(Part):
    """What became of one request: its status, or the refusal."""

    id: UUID
    status: str
    error_code: str
    error: str


class BulkDocument(Part):
    results: list[BulkOutcomeDocument]


def request_document(request: ApprovalRequest, tasks: Sequence[ApprovalTask]) -> ApprovalRequestDocument:
    return ApprovalRequestDocument(
        id=request.pk,
        process=request.process_id,
        process_name=process_of(request).name,
        process_version=request.process_version,
        entity_type=request.entity_type,
        entity_id=request.record_id,
        submitted_by=request.submitted_by_id,
        comment=request.comment,
        status=request.status,
        current_step=request.current_step,
        round=request.round,
        escalation_level=request.escalation_level,
        due_at=request.due_at,
        locked_fields=request.locked_fields,
        created_at=request.created_at,
        finished_at=request.finished_at,
        tasks=[_task(task) for task in tasks],
    )


def _task(task: ApprovalTask) -> ApprovalTaskDocument:
    return ApprovalTaskDocument(
        id=task.pk,
        step=task.step,
        round=task.round,
        approver=task.approver_id,
        resolved_from=task.resolved_from,
        weight=task.weight,
        status=task.status,
        decided_at=task.decided_at,
        comment=task.comment,
        delegated_from=task.delegated_from_id,
    )


def request_documents(requests: Sequence[ApprovalRequest]) -> list[ApprovalRequestDocument]:
    """One statement for the tasks of all of them."""
    tasks = queries.tasks_of([request.pk for request in requests])
    return [request_document(request, tasks.get(request.pk, [])) for request in requests]


def event_document(event: ApprovalEvent) -> ApprovalEventDocument:
    return ApprovalEventDocument(
        kind=event.kind,
        step=event.step,
        person=cast(Any, event).person_id,
        comment=event.comment,
        at=event.created_at,
    )


def planned_document(planned: queries.PlannedStep) -> PlannedApprovalStepDocument:
    return PlannedApprovalStepDocument(
        step=planned.step.step,
        name=planned.step.name,
        skipped=planned.skipped,
        approvers=[
            PlannedApproverDocument(person=item.person, resolved_from=item.resolved_from, weight=item.weight)
            for item in planned.approvers
        ],
        escalation_level=planned.level,
        hours=planned.hours,
        error_code=planned.error_code,
        error=planned.error,
    )
