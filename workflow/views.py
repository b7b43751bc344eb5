"""Endpoints of workflows beside those that the registry gives them: starting, testing, figures, runs, catalogs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any, ClassVar, Literal, cast
from uuid import UUID

from django.db.models import QuerySet
from django_filters import FilterSet
from pydantic import BaseModel, ConfigDict, Field
from rest_framework.request import Request
from rest_framework.response import Response

from core.access import EntityView, view
from core.conditions import Explanation, json_schema
from core.identity.rights import MANAGE_SETTINGS
from core.kernel.errors import Fault, Forbidden, Invalid, NotFound
from core.rest.filtered_lists import FilteredListView
from core.rest.filters import ChoiceFilter, TextFilter, TimeFilter, UUIDFilter
from core.rest.schema import documented
from core.rest.views import MEMBER, ApiView
from core.tenancy.actors import Actor
from workflow import operations, queries
from workflow.action_types.webhooks import secrets_of
from workflow.event_types import event_types
from workflow.models import RunStatus, Workflow, WorkflowActionRun, WorkflowRun
from workflow.registries import ACTION_TYPES, ControlType
from workflow.schemas import read_part
from workflow.starting import runs_of

SHOWN_MATCHES = 200
PREVIEWED_MATCHES = 20


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


def _plans(planned: Sequence[queries.Planned]) -> list[PlannedDocument]:
    return [PlannedDocument(**{**asdict(item), "would": dict(item.would)}) for item in planned]


def _explained(found: Explanation | None) -> dict[str, Any] | None:
    if found is None:
        return None
    if found.group:
        return {
            "holds": found.holds,
            "group": found.group,
            "parts": [_explained(part) for part in found.parts],
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


def _read(model: type[BaseModel], document: Any) -> Any:
    faults: list[Fault] = []
    found = read_part(model, document, "", faults)
    if faults:
        raise Invalid(faults=faults)
    return found


def _answer(document: BaseModel, status: int = 200) -> Response:
    return Response(document.model_dump(mode="json"), status=status)


# --- catalogs --------------------------------------------------------------------------------------------------


class ActionTypesView(ApiView):
    """What workflows can do, each with the JSON Schema of its payload."""

    verbs = {"get": MEMBER}

    @documented(response=ActionTypesDocument)
    def get(self, request: Request) -> Response:
        """List the kinds of actions."""
        found = [
            ActionTypeDocument(
                name=kind.name,
                label=kind.label,
                description=kind.description,
                payload_schema=kind.payload.model_json_schema(),
                branches=list(kind.branches) if isinstance(kind, ControlType) else [],
                leaves_database=not isinstance(kind, ControlType) and kind.leaves_database,
                needs_record=not isinstance(kind, ControlType) and kind.needs_record,
            )
            for kind in ACTION_TYPES
        ]
        return _answer(ActionTypesDocument(action_types=found, condition_schema=json_schema()))


class EventTypesView(ApiView):
    """What can start a workflow."""

    verbs = {"get": MEMBER}

    @documented(response=EventTypesDocument)
    def get(self, request: Request) -> Response:
        """List the events."""
        found = [EventTypeDocument(**asdict(item)) for item in event_types().values()]
        return _answer(EventTypesDocument(event_types=found))


# --- one workflow ----------------------------------------------------------------------------------------------


class _OfWorkflow(ApiView):
    """Something about one workflow, for those who manage settings."""

    verbs = {"get": MANAGE_SETTINGS, "post": MANAGE_SETTINGS}

    @property
    def workflows(self) -> EntityView:
        return view("workflow", self.actor)

    def workflow(self, pk: str) -> Workflow:
        found: Workflow = self.workflows.get(pk)
        return found


class ExecuteView(_OfWorkflow):
    """Start a workflow by hand."""

    @documented(request=ExecuteInput, response=ExecuteDocument, status=202, also={200: ExecuteDocument})
    def post(self, request: Request, pk: str) -> Response:
        """Start the workflow on records, or say what it would do."""
        asked = _read(ExecuteInput, request.data)
        if not asked.dry_run:
            made = operations.execute_workflow(
                actor=self.actor, workflow_id=pk, record_ids=asked.record_ids, now=self.now
            )
            return _answer(ExecuteDocument(dry_run=False, run_ids=made, plans=[]), 202)
        workflow = self.workflow(pk)
        refuse_values(self.actor, workflow)
        if asked.record_ids and workflow.entity_type:
            operations.refuse_unseen(self.actor, workflow.entity_type, asked.record_ids)
        targets: list[UUID | None] = list(asked.record_ids[: queries.PLANNED]) or [None]
        plans = [
            PlanDocument(record_id=item, actions=_plans(queries.plan(workflow, item, now=self.now)))
            for item in targets
        ]
        return _answer(ExecuteDocument(dry_run=True, run_ids=[], plans=plans))


def refuse_values(actor: Actor, workflow: Workflow) -> None:
    """Raises: Forbidden for who may not see what whoever it runs as sees."""
    if not queries.may_read_values(actor, workflow):
        raise Forbidden("It runs as somebody else, whose records you may not see.", code="runs_as_other")


class TestView(_OfWorkflow):
    """Try a workflow on what has happened already."""

    @documented(request=TestInput, response=TestDocument, optional_body=True)
    def post(self, request: Request, pk: str) -> Response:
        """Say on which past events the workflow would have started, and what it would have done."""
        asked = _read(TestInput, request.data or {})
        workflow = self.workflow(pk)
        refuse_values(self.actor, workflow)
        since = self.now - timedelta(days=asked.days)
        events, verdicts = queries.back_test(workflow, since=since, limit=asked.limit)
        started = 0
        if asked.start:
            operations.get_startable(self.actor, workflow.pk)
            made = operations.start_runs(self.actor.company_id, runs_of(verdicts, now=self.now), now=self.now)
            started = len(made)
        matches = [
            MatchDocument(
                trigger=item.armed.trigger.key,
                event_type=item.armed.trigger.event_type,
                log_id=item.change.log_id,
                at=item.change.at,
                record_id=item.change.entity_id,
                actions=_plans(queries.plan(workflow, item.change.entity_id, now=self.now))
                if place < PREVIEWED_MATCHES
                else [],
            )
            for place, item in enumerate(verdicts[:SHOWN_MATCHES])
        ]
        return _answer(TestDocument(events=events, matched=len(verdicts), matches=matches, started=started))


class WhyNotView(_OfWorkflow):
    """Why a workflow did not run on a record."""

    @documented(
        response=WhyNotDocument,
        query={"record": {"type": "string", "format": "uuid"}},
        required_query=("record",),
    )
    def get(self, request: Request, pk: str) -> Response:
        """Say what kept the workflow from running on a record."""
        workflow = self.workflow(pk)
        refuse_values(self.actor, workflow)
        try:
            record_id = UUID(request.query_params.get("record", ""))
        except ValueError:
            raise Invalid(faults=[Fault("record", "not_an_id", "An id (UUID) is expected.")]) from None
        found = queries.why_not(self.actor, workflow, record_id, now=self.now)
        return _answer(
            WhyNotDocument(
                reasons=[
                    ReasonDocument(
                        code=item.code,
                        detail=item.detail,
                        trigger=item.trigger,
                        event=item.event,
                        log_id=item.log_id,
                        run_id=item.run_id,
                        explanation=_explained(item.explanation),
                    )
                    for item in found
                ]
            )
        )


class StatsView(_OfWorkflow):
    """Figures of a workflow."""

    @documented(response=StatsDocument)
    def get(self, request: Request, pk: str) -> Response:
        """Runs, success rate, times and the last error of the last 30 days."""
        workflow = self.workflow(pk)
        found = asdict(queries.stats_of([workflow.pk], now=self.now)[workflow.pk])
        if not queries.may_read_values(self.actor, workflow) and found["last_error"]:
            found["last_error"] = "Hidden from you."
        return _answer(StatsDocument(**found))


class WebhookSecretView(_OfWorkflow):
    """What the workflow's calls are signed with."""

    @documented(response=SecretDocument, secret=True)
    def get(self, request: Request, pk: str) -> Response:
        """Show the secret that proves a call to be this workflow's."""
        return _answer(SecretDocument(secrets=secrets_of(self.workflow(pk).pk)))


# --- runs ------------------------------------------------------------------------------------------------------


class RunFilters(FilterSet):
    status = ChoiceFilter(choices=RunStatus.choices, label="Where the run stands.")
    event_type = TextFilter(label="What started it.")
    record_id = UUIDFilter(label="The record it is about.")
    created_at__gte = TimeFilter("created_at", "gte", label="Begun at this time or later.")
    created_at__lt = TimeFilter("created_at", "lt", label="Begun before this time.")


class AllRunFilters(RunFilters):
    workflow = UUIDFilter("workflow_id", label="Of this workflow.")


class RunsView(FilteredListView):
    """Runs of all workflows, the newest first."""

    verbs = {"get": MANAGE_SETTINGS}
    filterset_class: ClassVar[type[FilterSet]] = AllRunFilters
    orderings = {"created_at": "created_at"}
    default_ordering = "-created_at"
    document = RunDocument

    def rows(self) -> QuerySet[Any]:
        return queries.runs().select_related("workflow")

    def documents(self, rows: Sequence[WorkflowRun]) -> list[RunDocument]:
        found = []
        for run in rows:
            document = run_document(run)
            if run.error and not queries.may_read_values(self.actor, run.workflow):
                document["error"] = "Hidden from you."
            found.append(RunDocument(**document))
        return found


class RunsOfWorkflowView(RunsView):
    """Runs of one workflow, the newest first."""

    filterset_class: ClassVar[type[FilterSet]] = RunFilters

    def rows(self) -> QuerySet[Any]:
        workflow = view("workflow", self.actor).get(self.kwargs["pk"])
        return super().rows().filter(workflow_id=workflow.pk)


class _OfRun(ApiView):
    verbs = {"get": MANAGE_SETTINGS, "post": MANAGE_SETTINGS}


class RunView(_OfRun):
    """One run."""

    @documented(response=RunTimelineDocument)
    def get(self, request: Request, run_id: UUID) -> Response:
        """Show a run with its steps."""
        return _answer(timeline(self.actor, run_id))


class CancelRunView(_OfRun):
    """Cancel a run."""

    @documented(response=RunTimelineDocument)
    def post(self, request: Request, run_id: UUID) -> Response:
        """End a run that has not ended; what it has done stays."""
        operations.cancel_run(actor=self.actor, run_id=run_id, now=self.now)
        return _answer(timeline(self.actor, run_id))


class RetryRunView(_OfRun):
    """Try a run again."""

    @documented(response=RunTimelineDocument, status=202)
    def post(self, request: Request, run_id: UUID) -> Response:
        """Carry a failed run on from the step that failed."""
        operations.retry_run(actor=self.actor, run_id=run_id, now=self.now)
        return _answer(timeline(self.actor, run_id), 202)
