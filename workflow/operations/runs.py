"""Runs are made, one for each trigger and what started it; canceled, and retried."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from django.conf import settings

from core.access import view
from core.identity.models import Company
from core.identity.operations import COMPANY_SETTINGS
from core.jobs.operations import NewJob, enqueue_many
from core.kernel.errors import Conflict, Fault, Invalid, NotFound
from core.kernel.ids import uuid7
from core.kernel.transactions import needs_transaction
from core.observability.correlation import current_id
from core.tenancy import context
from core.tenancy.actors import Actor
from workflow.models import (
    OPEN_RUNS,
    RunStatus,
    StepStatus,
    Workflow,
    WorkflowAction,
    WorkflowActionRun,
    WorkflowRun,
    WorkflowStatus,
    WorkflowVersion,
)
from workflow.operations.execution import ADVANCE, enqueue_runs

# Records that one request may start a workflow on.
MAX_EXECUTED = 1_000


@dataclass(frozen=True)
class NewRun:
    """A run to be made. `event_key` names what started it: one trigger takes each key once."""

    workflow_id: UUID
    version_id: UUID
    event_key: str
    trigger_id: UUID | None = None
    event_type: str = ""
    event_log_id: int | None = None
    event: Mapping[str, Any] = field(default_factory=dict)
    entity_type: str = ""
    record_id: UUID | None = None
    depth: int = 0
    ancestry: Sequence[str] = ()
    # Runs of one chain are carried on one after the other.
    chain: str = ""
    # Why it is not started; it is kept so that people can read it.
    skipped: tuple[str, str] | None = None
    correlation_id: str = ""


def start_runs(company_id: UUID, runs: Sequence[NewRun], *, now: datetime) -> dict[str, UUID]:
    """Make runs and have them carried out; ids by `<workflow>:<event key>` of those that are new. Needs a transaction.

    Two statements for a thousand runs, and one for the jobs.
    """
    needs_transaction()
    made: dict[str, UUID] = {}
    for start in range(0, len(runs), 1_000):
        part = runs[start : start + 1_000]
        rows = [
            WorkflowRun(
                id=uuid7(),
                company_id=company_id,
                created_at=now,
                created_by_id=getattr(context.current().actor, "user_id", None),
                workflow_id=run.workflow_id,
                of_version_id=run.version_id,
                trigger_id=run.trigger_id,
                event_key=run.event_key[:200],
                event_type=run.event_type,
                event_log_id=run.event_log_id,
                event=dict(run.event),
                entity_type=run.entity_type,
                record_id=run.record_id,
                depth=run.depth,
                ancestry=list(run.ancestry),
                status=RunStatus.SKIPPED if run.skipped else RunStatus.PENDING,
                error_code=run.skipped[0] if run.skipped else "",
                error=run.skipped[1] if run.skipped else "",
                finished_at=now if run.skipped else None,
                correlation_id=run.correlation_id or current_id(),
            )
            for run in part
        ]
        WorkflowRun.objects.bulk_create(rows, ignore_conflicts=True)
        written = set(
            WorkflowRun.objects.filter(pk__in=[row.pk for row in rows]).values_list("pk", flat=True)
        )
        chains: dict[str, list[UUID]] = {}
        for run, row in zip(part, rows, strict=True):
            if row.pk not in written:
                continue
            made[f"{run.workflow_id}:{run.event_key}"] = row.pk
            if run.skipped is None:
                chains.setdefault(run.chain or str(row.pk), []).append(row.pk)
        enqueue_chains(company_id, list(chains.values()), now=now)
    return made


def enqueue_chains(company_id: UUID, chains: Sequence[Sequence[UUID]], *, now: datetime) -> None:
    """A job for each chain of runs. Needs a transaction."""
    jobs = [NewJob({"runs": [str(key) for key in chain]}, company_id=company_id) for chain in chains]
    if jobs:
        enqueue_many(kind=ADVANCE, jobs=jobs, now=now)


def engine_is_on(company_id: UUID) -> bool:
    """Whether workflows start at all: in the installation, and in this company."""
    if not settings.WORKFLOW_ENGINE_ENABLED:
        return False
    name = "workflow_engine_enabled"
    stored = Company.objects.filter(pk=company_id).values_list("settings", flat=True).first() or {}
    return bool(stored.get(name, COMPANY_SETTINGS[name].default))


def get_startable(actor: Actor, workflow_id: UUID | str) -> tuple[Workflow, WorkflowVersion]:
    """A workflow that can be started by hand, with its version.

    Raises: NotFound, Conflict (`engine_off`, `not_active`).
    """
    workflow = view("workflow", actor).get(workflow_id)
    if not engine_is_on(actor.company_id):
        raise Conflict("Workflows are switched off here.", code="engine_off")
    if workflow.status != WorkflowStatus.ACTIVE or not workflow.is_active:
        raise Conflict("The workflow is not active.", code="not_active")
    return workflow, version_of(workflow)


def version_of(workflow: Workflow) -> WorkflowVersion:
    """The version that new runs take."""
    found: WorkflowVersion = WorkflowVersion.objects.get(
        workflow_id=workflow.pk, number=workflow.current_version
    )
    return found


def execute_workflow(
    *, actor: Actor, workflow_id: UUID | str, record_ids: Sequence[UUID], now: datetime
) -> list[UUID]:
    """Start a workflow by hand on records that the actor sees, or once without any. Needs a transaction.

    Conditions of its triggers are not asked: whoever starts it has decided. Raises: NotFound, Conflict, Invalid with the
    places of records that are not there.
    """
    workflow, version = get_startable(actor, workflow_id)
    if record_ids and not workflow.entity_type:
        raise Invalid(
            faults=[Fault("record_ids", "not_expected", "The workflow is about no kind of record.")]
        )
    if workflow.entity_type and not record_ids:
        raise Invalid(faults=[Fault("record_ids", "required", "Say on which records.")])
    if record_ids:
        refuse_unseen(actor, workflow.entity_type, record_ids)
    targets: list[UUID | None] = list(dict.fromkeys(record_ids)) or [None]
    runs = [
        NewRun(
            workflow_id=workflow.pk,
            version_id=version.pk,
            event_key=f"manual:{uuid7()}",
            event_type="manual",
            event={"type": "manual", "source": context.current().source, "actor": str(actor.user_id or "")},
            entity_type=workflow.entity_type,
            record_id=target,
        )
        for target in targets
    ]
    return list(start_runs(actor.company_id, runs, now=now).values())


def refuse_unseen(actor: Actor, entity_type: str, record_ids: Sequence[UUID]) -> None:
    """Raises: Invalid for records that the actor does not see."""
    source = view(entity_type, actor)
    source.require("read")
    seen = set(source.records().filter(pk__in=record_ids).values_list("pk", flat=True))
    faults = [
        Fault(f"record_ids.{place}", "does_not_exist", "There is no such record.")
        for place, key in enumerate(record_ids)
        if key not in seen
    ]
    if faults:
        raise Invalid(faults=faults)


# --- canceling and retrying ------------------------------------------------------------------------------------


def get_run(run_id: UUID, *, lock: bool = False) -> WorkflowRun:
    """Raises: NotFound."""
    rows = WorkflowRun.objects.all()
    if lock:
        rows = rows.select_for_update(no_key=True, of=("self",))
    found: WorkflowRun | None = rows.filter(pk=run_id).first()
    if found is None:
        raise NotFound()
    return found


def cancel_run(*, actor: Actor, run_id: UUID, now: datetime) -> WorkflowRun:
    """End a run that has not ended; what its steps have done stays. Needs a transaction; waits for a step that is at work.

    Raises: NotFound, Conflict (`run_ended`).
    """
    needs_transaction()
    run = get_run(run_id, lock=True)
    if run.status not in OPEN_RUNS:
        raise Conflict("The run has ended.", code="run_ended")
    run.status, run.finished_at, run.error_code, run.error = (
        RunStatus.CANCELED,
        now,
        "canceled",
        "Somebody canceled it.",
    )
    run.resume_at, run.awaited_event = None, ""
    run.save(update_fields=["status", "finished_at", "error_code", "error", "resume_at", "awaited_event"])
    return run


def retry_run(*, actor: Actor, run_id: UUID, now: datetime) -> WorkflowRun:
    """Carry a run that failed on from the step that failed. Needs a transaction.

    Raises: NotFound, Conflict (`run_not_failed`).
    """
    needs_transaction()
    run = get_run(run_id, lock=True)
    if run.status not in (RunStatus.FAILED, RunStatus.TIMED_OUT):
        raise Conflict("Only a run that failed can be tried again.", code="run_not_failed")
    forgiven = WorkflowAction.objects.filter(of_version_id=run.of_version_id, allow_failure=True)
    WorkflowActionRun.objects.filter(run_id=run.pk, status=StepStatus.FAILED).exclude(
        action_id__in=forgiven.values("pk")
    ).update(status=StepStatus.PENDING, attempt=0, finished_at=None, error="", error_code="", output={})
    run.status, run.finished_at, run.error_code, run.error = RunStatus.PENDING, None, "", ""
    run.duration_ms, run.job_id = 0, None
    run.save(update_fields=["status", "finished_at", "error_code", "error", "duration_ms", "job_id"])
    enqueue_runs(run.company_id, [run.pk], now=now)
    return run
