"""What the endpoints of workflows take and answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any, Literal, cast
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field
from rest_framework.response import Response

from core.conditions import Explanation
from core.kernel.errors import Fault, Invalid, NotFound
from core.tenancy.actors import Actor
from workflow import operations, queries
from workflow.models import WorkflowActionRun, WorkflowRun
from workflow.registries import ACTION_TYPES
from workflow.schemas import read_part


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid")


# --- documents -------------------------------------------------------------------------------------------------


class ActionTypeDocument(_Part):
    """A kind of action. `schema` is the JSON Schema of its payload; `branches` names the lists of actions inside it."""

    name: str
    label: str
    description: str
    payload_schema: dict[str, Any]
    branches: list[str]
    leaves_database: bool
    needs_record: bool


class EventTypeDocument(_Part):
    """An event that can start a workflow, and the kind of record it is about."""

    name: str
    entity: str
    label: str


class ActionTypesDocument(_Part):
    """Every kind of action, and the JSON Schema of conditions."""

    action_types: list[ActionTypeDocument]
    condition_schema: dict[str, Any]


class EventTypesDocument(_Part):
    event_types: list[EventTypeDocument]


class ExecuteInput(_Part):
    """On which records; none for a workflow that is about no kind of record."""

    record_ids: list[UUID] = Field(default_factory=list, max_length=operations.MAX_EXECUTED)
    dry_run: bool = False


class PlannedDocument(_Part):
    """An action that would be done: in words, with its values, or with what would refuse it."""

    path: str
    action_type: str
    summary: str
    would: dict[str, Any]
    skipped: bool
    error: str


class PlanDocument(_Part):
    record_id: UUID | None
    actions: list[PlannedDocument]


class ExecuteDocument(_Part):
    """The runs that were started, or what a dry run found."""

    dry_run: bool
    run_ids: list[UUID]
    plans: list[PlanDocument]


class TestInput(_Part):
    """How far back. `start` starts the runs for what matches; what ran already does not run again."""

    days: int = Field(7, ge=1, le=queries.MAX_TEST_DAYS)
    limit: int = Field(1_000, ge=1, le=queries.MAX_TESTED)
    start: bool = False


class MatchDocument(_Part):
    """A past event on which the workflow would have started; `actions` of the first ones, on the record as it is now."""

    trigger: str
    event_type: str
    log_id: int
    at: datetime
    record_id: UUID | None
    actions: list[PlannedDocument]


class TestDocument(_Part):
    events: int
    matched: int
    matches: list[MatchDocument]
    started: int


class ReasonDocument(_Part):
    """Why it did not run, or that it did. `explanation` shows every part of the conditions with the values it met."""

    code: str
    detail: str
    trigger: str
    event: str
    log_id: int | None
    run_id: UUID | None
    explanation: dict[str, Any] | None


class WhyNotDocument(_Part):
    reasons: list[ReasonDocument]


class StatsDocument(_Part):
    """Figures of the last days. Rates and times are null where nothing has ended; `daily` are runs of the last 14 days."""

    days: int
    runs: int
    by_status: dict[str, int]
    success_rate: float | None
    p50_ms: float | None
    p95_ms: float | None
    last_run_at: datetime | None
    last_error: str | None
    last_error_at: datetime | None
    daily: list[int]


class SecretDocument(_Part):
    """What calls of this workflow are signed with, for libraries of Standard Webhooks; the one in use first."""

    secrets: list[str]


RunState = Literal["pending", "running", "waiting", "succeeded", "failed", "canceled", "timed_out", "skipped"]


class RunDocument(_Part):
    """A run of a workflow."""

    id: UUID
    workflow: UUID
    workflow_name: str
    workflow_version: int
    status: RunState
    event_type: str
    event_log_id: int | None
    entity_type: str
    record_id: UUID | None
    depth: int
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    resume_at: datetime | None
    awaited_event: str
    duration_ms: int
    error_code: str
    error: str


class StepDocument(_Part):
    """One action of a run. Values are shown to whoever it runs as and to administrators; null for others."""

    path: str
    action_type: str
    summary: str
    status: Literal["pending", "running", "succeeded", "failed", "retrying", "skipped"]
    attempt: int
    input: dict[str, Any] | None
    output: dict[str, Any] | None
    error_code: str
    error: str | None
    started_at: datetime | None
    finished_at: datetime | None
    duration_ms: int


class RunTimelineDocument(RunDocument):
    """A run with its steps in the order in which they began, and the workflows that led to it."""

    steps: list[StepDocument]
    ancestry: list[UUID]


def run_document(run: WorkflowRun) -> dict[str, Any]:
    """A run of `queries.runs`, as the API answers it."""
    found: Any = run
    return {
        "id": run.pk,
        "workflow": run.workflow_id,
        "workflow_name": found.workflow_name,
        "workflow_version": found.version_number,
        **{
            name: getattr(run, name)
            for name in (
                "status",
                "event_type",
                "event_log_id",
                "entity_type",
                "record_id",
                "depth",
                "created_at",
                "started_at",
                "finished_at",
                "resume_at",
                "awaited_event",
                "duration_ms",
                "error_code",
            )
        },
        "error": run.error,
    }


def timeline(actor: Actor, run_id: UUID) -> RunTimelineDocument:
    """Raises: NotFound."""
    run = queries.runs().select_related("workflow").filter(pk=run_id).first()
    if run is None:
        raise NotFound()
    shown = queries.may_read_values(actor, run.workflow)
    rows = WorkflowActionRun.objects.filter(run_id=run.pk).select_related("action").order_by("number")
    return RunTimelineDocument(
        **{**run_document(run), "error": run.error if shown or not run.error else "Hidden from you."},
        steps=[_step(row, shown) for row in rows],
        ancestry=[UUID(item) for item in run.ancestry],
    )


def _step(row: WorkflowActionRun, shown: bool) -> StepDocument:
    kind = ACTION_TYPES.find(row.action.action_type)
    return StepDocument(
        path=row.path,
        action_type=row.action.action_type,
        summary=kind.summarize(row.action.payload) if kind else row.action.action_type,
        status=cast(Any, row.status),
        attempt=row.attempt,
        input=row.input if shown else None,
        output=row.output if shown else None,
        error_code=row.error_code,
        error=row.error if shown else None,
        started_at=row.started_at,
        finished_at=row.finished_at,
        duration_ms=row.duration_ms,
    )


def plan_documents(planned: Sequence[queries.Planned]) -> list[PlannedDocument]:
    return [PlannedDocument(**{**asdict(item), "would": dict(item.would)}) for item in planned]


def explained(found: Explanation | None) -> dict[str, Any] | None:
    if found is None:
        return None
    if found.group:
        return {
            "holds": found.holds,
            "group": found.group,
            "parts": [explained(part) for part in found.parts],
        }
    return {
        "holds": found.holds,
        "field": found.field,
        "operator": found.operator,
        "actual": _plain(found.actual),
        "previous": _plain(found.previous),
    }


def _plain(value: Any) -> Any:
    return value if value is None or isinstance(value, str | int | float | bool | list) else str(value)


def read_body(model: type[BaseModel], document: Any) -> Any:
    faults: list[Fault] = []
    found = read_part(model, document, "", faults)
    if faults:
        raise Invalid(faults=faults)
    return found


def answer(document: BaseModel, status: int = 200) -> Response:
    return Response(document.model_dump(mode="json"), status=status)
