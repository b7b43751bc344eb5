"""What workflows can do with approvals."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

from pydantic import Field

from core.kernel.errors import Fault
from workflow.approvals import queries
from workflow.approvals.models import ApprovalProcess
from workflow.approvals.operations import submit
from workflow.approvals.operations.processes import document_of
from workflow.approvals.operations.requests import submittable
from workflow.approvals.routing import Subject
from workflow.definitions import Setting
from workflow.registries import ACTION_TYPES, ActionType
from workflow.schemas import Part
from workflow.steps import Step


class SubmitForApproval(Part):
    """Submits the record to a process, in the name of whoever the workflow runs as."""

    process: UUID
    comment: str = Field("", max_length=10_000)


def _check(setting: Setting, payload: SubmitForApproval) -> Iterable[Fault]:
    process = ApprovalProcess.objects.filter(pk=payload.process).first()
    if process is None:
        yield Fault("process", "does_not_exist", "There is no such process.")
    elif setting.entity is not None and process.entity_type != setting.entity.name:
        detail = f"The process is about another kind of record: {process.entity_type}."
        yield Fault("process", "not_a_choice", detail)
    if setting.actor.user_id is None:
        yield Fault("", "no_person", "A person submits requests: name somebody whom the workflow runs as.")


def _run(step: Step, payload: Mapping[str, Any]) -> Mapping[str, Any]:
    request = submit(
        actor=step.actor,
        process_id=UUID(str(payload["process"])),
        entity_type=step.entity_type,
        record_id=step.record,
        comment=str(payload.get("comment") or ""),
        now=step.now,
    )
    return {"request": str(request.pk), "status": request.status}


def _preview(step: Step, payload: Mapping[str, Any]) -> Mapping[str, Any]:
    process = submittable(step.actor, UUID(str(payload["process"])), step.entity_type, step.record)
    submitter = step.actor.user_id
    assert submitter is not None  # noqa: S101 - checked when it was saved
    subject = Subject(step.actor.company_id, step.entity_type, step.record, submitter)
    planned = queries.simulate(subject, document_of(process), now=step.now)
    return {
        "process": process.name,
        "steps": [
            {
                "step": item.step.step,
                "skipped": item.skipped,
                "approvers": [str(one.person) for one in item.approvers],
                "error": item.error,
            }
            for item in planned
        ],
    }


ACTION_TYPES.register(
    "submit_for_approval",
    ActionType(
        name="submit_for_approval",
        label="Submit for approval",
        description="Submits the record to an approval process.",
        payload=SubmitForApproval,
        run=_run,
        summarize=lambda payload: "Submit the record for approval",
        check=_check,
        preview=_preview,
        needs_record=True,
    ),
)
