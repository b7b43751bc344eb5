"""Requests are submitted, and go from step to step."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from core.access import view
from core.delivery.operations import notify
from core.kernel.errors import Conflict, Fault, Forbidden, Invalid, NotFound, Unprocessable
from core.kernel.ids import uuid7
from core.kernel.transactions import needs_transaction
from core.tenancy.actors import Actor, system_actor
from workflow.approvals import routing
from workflow.approvals.models import (
    UNDECIDED,
    UNFINISHED,
    ApprovalEvent,
    ApprovalProcess,
    ApprovalRequest,
    ApprovalTask,
    RequestStatus,
    TaskStatus,
)
from workflow.approvals.operations.processes import document_of
from workflow.approvals.routing import Opening, Resolved, Subject
from workflow.approvals.schemas import ProcessDocument

ASKED, DECIDED = "approval.asked", "approval.decided"


def subject_of(request: ApprovalRequest) -> Subject:
    return Subject(request.company_id, request.entity_type, request.record_id, request.submitted_by_id)


def process_of(request: ApprovalRequest) -> ProcessDocument:
    """The process as it was when the request was submitted."""
    return ProcessDocument.model_validate(request.definition)


def locked(request_id: UUID) -> ApprovalRequest:
    """The request, locked: votes that race each other come one after the other. Raises: NotFound."""
    needs_transaction()
    rows = ApprovalRequest.objects.select_for_update(no_key=True, of=("self",))
    found: ApprovalRequest | None = rows.filter(pk=request_id).first()
    if found is None:
        raise NotFound()
    return found


def refuse_reading_keys(actor: Actor) -> None:
    """A person's vote needs no right but to be asked; a key of theirs that may change nothing does not vote for them.

    Raises: Forbidden.
    """
    if actor.api_key_id is not None and not actor.rights.can("update"):
        raise Forbidden("This key may change nothing.")


def submittable(actor: Actor, process_id: UUID, entity_type: str, record_id: UUID) -> ApprovalProcess:
    """The process, where this person may submit this record to it.

    Raises: Invalid with the place of what is not there, Forbidden where the record is not open for changes.
    """
    process: ApprovalProcess | None = ApprovalProcess.objects.filter(pk=process_id).first()
    if process is None:
        raise Invalid(faults=[Fault("process", "does_not_exist", "There is no such process.")])
    if entity_type != process.entity_type:
        detail = f"The process is about another kind of record: {process.entity_type}."
        raise Invalid(faults=[Fault("entity_type", "not_a_choice", detail)])
    try:
        view(entity_type, actor).get(record_id, verb="update")
    except NotFound:
        raise Invalid(faults=[Fault("entity_id", "does_not_exist", "There is no such record.")]) from None
    return process


def submit(
    *,
    actor: Actor,
    process_id: UUID,
    entity_type: str,
    record_id: UUID,
    now: datetime,
    comment: str = "",
) -> ApprovalRequest:
    """Ask for approval of a record's values. Needs a transaction; locks the record.

    Raises: Invalid, Forbidden, Conflict (`process_inactive`, `already_submitted`), Unprocessable (`not_applicable`,
    `no_approver`, `impossible_quorum`).
    """
    needs_transaction()
    if actor.user_id is None:
        raise Forbidden("A person submits requests.")
    process = submittable(actor, process_id, entity_type, record_id)
    if not process.is_active:
        raise Conflict("The process is not active.", code="process_inactive")
    # Whoever changes the record meanwhile waits, and then meets the lock.
    type_of = view(entity_type, actor).entity.model
    type_of._default_manager.select_for_update(of=("self",)).filter(pk=record_id).first()
    subject = Subject(actor.company_id, entity_type, record_id, actor.user_id)
    if not routing.holds(subject, process.entry_condition, now=now):
        raise Unprocessable("The record does not meet the process's entry condition.", code="not_applicable")
    # Two submissions of one record come one after the other: it is locked.
    if ApprovalRequest.objects.filter(
        process_id=process.pk, record_id=record_id, status__in=UNFINISHED
    ).exists():
        raise Conflict("The record waits for this approval already.", code="already_submitted")
    values = routing.values_of(subject, process.locked_fields)
    request = ApprovalRequest(
        id=uuid7(),
        company_id=actor.company_id,
        created_at=now,
        created_by_id=actor.user_id,
        process_id=process.pk,
        process_version=process.version,
        definition=document_of(process).model_dump(mode="json"),
        entity_type=entity_type,
        record_id=record_id,
        submitted_by_id=actor.user_id,
        comment=comment,
        status=RequestStatus.PENDING,
        locked_fields=process.locked_fields,
        snapshot=_plain(values),
        digest=routing.digest_of(values),
    )
    request.save(force_insert=True)
    note(request, "submitted", now, person=actor.user_id, comment=comment)
    go_on(request, routing.open_after(subject, process_of(request), 0, now=now), now)
    return request


def resubmit(*, actor: Actor, request_id: UUID, now: datetime, comment: str = "") -> ApprovalRequest:
    """Ask again after a request was sent back. Needs a transaction.

    Raises: NotFound for everybody but who submitted it, Conflict (`not_sent_back`), Unprocessable as `submit`.
    """
    refuse_reading_keys(actor)
    request = locked(request_id)
    if request.submitted_by_id != actor.user_id:
        raise NotFound()
    if request.status != RequestStatus.DRAFT:
        raise Conflict(
            "The request was not sent back.", code="not_sent_back", status_of_request=request.status
        )
    subject, process = subject_of(request), process_of(request)
    bind(request)
    request.status = RequestStatus.PENDING
    note(request, "resubmitted", now, person=actor.user_id, comment=comment)
    if process.on_resubmit == "resume" and request.current_step is not None:
        go_on(request, routing.open_step(subject, process, request.current_step, now=now), now)
    else:
        go_on(request, routing.open_after(subject, process, 0, now=now), now)
    return request


_CHANGING = (
    "status",
    "current_step",
    "round",
    "escalation_level",
    "due_at",
    "finished_at",
    "snapshot",
    "digest",
)


def keep(request: ApprovalRequest) -> None:
    """Write what changes about a request; the rest of it never does."""
    request.save(update_fields=_CHANGING)


def bind(request: ApprovalRequest) -> None:
    """Bind the request to the record's values of this moment. Raises: NotFound."""
    values = routing.values_of(subject_of(request), request.locked_fields)
    request.snapshot, request.digest = _plain(values), routing.digest_of(values)


def is_bound(request: ApprovalRequest) -> bool:
    """Whether the record still has the values that the request is about."""
    try:
        values = routing.values_of(subject_of(request), request.locked_fields)
    except NotFound:
        return False
    return routing.digest_of(values) == request.digest


def _plain(values: dict[str, object]) -> dict[str, object]:
    plain = str | int | float | bool | list | dict
    return {
        name: value if value is None or isinstance(value, plain) else str(value)
        for name, value in values.items()
    }


# --- from step to step -----------------------------------------------------------------------------------------


def go_on(request: ApprovalRequest, opening: Opening, now: datetime) -> None:
    """Open the step, or approve the request where no further one applies. The request is locked."""
    for step in opening.skipped:
        note(request, "step_skipped", now, step=step.step)
    if opening.step is None:
        finish(request, RequestStatus.APPROVED, now)
        return
    request.current_step, request.escalation_level, request.due_at = (
        opening.step.step,
        opening.level,
        opening.due_at,
    )
    one_by_one = opening.step.type == "sequential" and not opening.level
    ask(request, opening.approvers, now, one_by_one=one_by_one)


def ask(
    request: ApprovalRequest, approvers: Sequence[Resolved], now: datetime, *, one_by_one: bool = False
) -> None:
    """Give the current step to these people, in a round of its own."""
    assert request.current_step is not None  # noqa: S101 - a step is open
    close_tasks(request)
    request.round += 1
    keep(request)
    tasks = [
        ApprovalTask(
            id=uuid7(),
            company_id=request.company_id,
            created_at=now,
            request_id=request.pk,
            step=request.current_step,
            round=request.round,
            position=place,
            approver_id=item.person,
            resolved_from=item.resolved_from,
            weight=item.weight,
            status=TaskStatus.WAITING if one_by_one and place else TaskStatus.OPEN,
        )
        for place, item in enumerate(approvers)
    ]
    ApprovalTask.objects.bulk_create(tasks)
    note(request, "step_opened", now)
    tell_approvers(request, [task for task in tasks if task.status == TaskStatus.OPEN], now)


def close_tasks(request: ApprovalRequest) -> None:
    """Nobody is asked any more."""
    ApprovalTask.objects.filter(request_id=request.pk, status__in=UNDECIDED).update(status=TaskStatus.CLOSED)


def finish(
    request: ApprovalRequest,
    status: RequestStatus,
    now: datetime,
    *,
    person: UUID | None = None,
    comment: str = "",
) -> None:
    """End the request, and tell whoever submitted it."""
    close_tasks(request)
    request.status, request.finished_at, request.due_at = status, now, None
    keep(request)
    note(request, f"request_{status.value}", now, person=person, comment=comment)
    if person != request.submitted_by_id:
        tell_submitter(request, f"{status.label}: {process_of(request).name}", comment, now)


def note(
    request: ApprovalRequest,
    kind: str,
    now: datetime,
    *,
    step: int | None = None,
    person: UUID | None = None,
    comment: str = "",
) -> None:
    """Keep what happened."""
    ApprovalEvent.objects.create(
        company_id=request.company_id,
        created_at=now,
        request_id=request.pk,
        kind=kind,
        step=step or request.current_step,
        person_id=person,
        comment=comment,
    )


def tell_approvers(request: ApprovalRequest, tasks: Sequence[ApprovalTask], now: datetime) -> None:
    for task in tasks:
        notify(
            actor=system_actor(request.company_id),
            kind=ASKED,
            key=f"{task.pk}:{task.approver_id}",
            recipients=[task.approver_id],
            title=f"Your approval is asked for: {process_of(request).name}",
            body=request.comment,
            entity_type=request.entity_type,
            entity_id=request.record_id,
            now=now,
        )


def tell_submitter(request: ApprovalRequest, title: str, body: str, now: datetime) -> None:
    notify(
        actor=system_actor(request.company_id),
        kind=DECIDED,
        key=f"{request.pk}:{request.round}:{request.status}",
        recipients=[request.submitted_by_id],
        title=title,
        body=body,
        entity_type=request.entity_type,
        entity_id=request.record_id,
        now=now,
    )
