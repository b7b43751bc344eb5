"""Writes of workflows and runs: saving a document as a version, starting runs, canceling and retrying them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection

from core.access import view
from core.changes import Outcome, Rows, WriteSpec, erase, insert, update
from core.identity.models import Company
from core.identity.operations import COMPANY_SETTINGS
from core.identity.queries import find_actor
from core.identity.rights import MANAGE_USERS
from core.jobs.operations import NewJob, enqueue_many
from core.kernel.errors import Conflict, Fault, Invalid, NotFound, refused_input
from core.kernel.ids import uuid7
from core.kernel.transactions import needs_transaction
from core.observability.correlation import current_id
from core.tenancy import context
from core.tenancy.actors import Actor, system_actor
from workflow.definitions import Definition, next_cron_time, read_definition, zone_of
from workflow.execution import ADVANCE, NETWORK_ATTEMPTS, enqueue_runs
from workflow.models import (
    OPEN_RUNS,
    RunStatus,
    StepStatus,
    Workflow,
    WorkflowAction,
    WorkflowActionRun,
    WorkflowRun,
    WorkflowStatus,
    WorkflowTrigger,
    WorkflowType,
    WorkflowVersion,
)
from workflow.registries import ACTION_TYPES, ActionType
from workflow.schemas import BRANCHES, ActionDocument, TriggerDocument

MAX_EXECUTED = 1_000
_DEFINING = ("entity_type", "triggers", "actions", "workflow_type", "run_as", "allow_reentry")

_SPEC = WriteSpec(
    Workflow,
    derive={
        # Nobody makes a workflow that acts for more than a person by leaving the person out.
        "run_as_id": "coalesce(n.run_as_id, o.run_as_id, %(user)s::uuid)",
    },
)
_REMOVAL = WriteSpec(Workflow)


# --- documents -------------------------------------------------------------------------------------------------


def check_workflow(values: Mapping[str, Any]) -> None:
    """Judge one row that is created, or changed, with the actor in context. Locks the workflow it changes.

    Raises: Invalid with every fault of the document; Forbidden for a workflow that acts in somebody else's name.
    """
    actor = context.current().actor
    assert actor is not None  # noqa: S101 - writes have an actor
    stored = None
    if values.get("id") is not None:
        stored = Workflow.objects.select_for_update(no_key=True, of=("self",)).filter(pk=values["id"]).first()

    def value(name: str, default: Any) -> Any:
        if name in values and values[name] is not None:
            return values[name]
        return default if stored is None else getattr(stored, name)

    faults: list[Fault] = []
    run_as = values.get("run_as") or (stored.run_as_id if stored else actor.user_id)
    changes_it = stored is None or any(name in values for name in _DEFINING)
    is_own = run_as == actor.user_id
    if changes_it and not is_own and not actor.is_system and not actor.rights.can(MANAGE_USERS):
        faults.append(Fault("run_as", "not_editable", "Only an administrator changes what runs as others."))
    person = runner(actor, run_as)
    if person is None:
        faults.append(Fault("run_as", "does_not_exist", "There is no such active member."))
        raise refused_input(faults=faults)
    status = value("status", WorkflowStatus.DRAFT)
    if not changes_it and status != WorkflowStatus.ACTIVE:
        # Whatever has become of what it names, it can be paused.
        if faults:
            raise refused_input(faults=faults)
        return
    workflow_type = value("workflow_type", WorkflowType.AUTOMATION)
    definition = read_definition(
        actor=person,
        workflow_type=workflow_type,
        entity_type=value("entity_type", ""),
        triggers=value("triggers", []),
        actions=value("actions", []),
    )
    faults += definition.faults
    if status == WorkflowStatus.ACTIVE and not definition.faults:
        if workflow_type != WorkflowType.MANUAL and not definition.triggers:
            faults.append(Fault("triggers", "required", "An active workflow has a trigger."))
        if not definition.actions:
            faults.append(Fault("actions", "required", "An active workflow has an action."))
    if faults:
        raise refused_input(faults=faults)


def create_workflows(*, actor: Actor, rows: Rows, now: datetime, all_or_none: bool = True) -> Outcome:
    """Keep workflows, each with its first version. Needs a transaction. `check_workflow` has judged their content."""
    outcome = insert(_SPEC, rows, actor=actor, now=now, all_or_none=all_or_none)
    _publish(actor, outcome, now)
    return outcome


def update_workflows(*, actor: Actor, rows: Rows, now: datetime, all_or_none: bool = True) -> Outcome:
    """Change workflows. Another document is another version: runs that have begun stay with theirs. Needs a transaction."""
    outcome = update(_SPEC, rows, actor=actor, now=now, all_or_none=all_or_none)
    _publish(actor, outcome, now)
    return outcome


def delete_workflows(*, actor: Actor, rows: Rows, now: datetime, all_or_none: bool = True) -> Outcome:
    """Remove workflows with their versions and runs. Needs a transaction."""
    outcome = erase(_REMOVAL, rows, actor=actor, now=now, all_or_none=all_or_none)
    gone = list(outcome.ids.values())
    if gone:
        of_version = "of_version_id IN (SELECT id FROM workflow_workflowversion WHERE workflow_id = ANY(%s))"
        with connection.cursor() as cursor:
            for table, condition in (
                (
                    "workflowactionrun",
                    "run_id IN (SELECT id FROM workflow_workflowrun WHERE workflow_id = ANY(%s))",
                ),
                ("workflowrun", "workflow_id = ANY(%s)"),
                ("workflowaction", of_version),
                ("workflowtrigger", "workflow_id = ANY(%s)"),
                ("workflowversion", "workflow_id = ANY(%s)"),
            ):
                cursor.execute(f"DELETE FROM workflow_{table} WHERE {condition}", [gone])
    return outcome


def _publish(actor: Actor, outcome: Outcome, now: datetime) -> None:
    """Make the version of each written workflow whose document is another one than its current version's.

    A fixed number of statements for any number of workflows that run as the actor.
    """
    changed = [key for place, key in outcome.ids.items() if place not in outcome.unchanged]
    if not changed:
        return
    workflows = list(Workflow.objects.filter(pk__in=changed))
    current = {
        (version.workflow_id, version.number): version
        for version in WorkflowVersion.objects.filter(
            workflow_id__in=changed, number__in={item.current_version for item in workflows}
        )
    }
    people: dict[UUID | None, Actor | None] = {}
    renewed: list[tuple[Workflow, WorkflowVersion, Definition]] = []
    for workflow in workflows:
        if not _is_same(workflow, current.get((workflow.pk, workflow.current_version))):
            if workflow.run_as_id not in people:
                people[workflow.run_as_id] = runner(actor, workflow.run_as_id)
            person = people[workflow.run_as_id] or system_actor(actor.company_id)
            renewed.append(_next_version(actor, person, workflow, now))
    if renewed:
        _write_versions(actor, renewed, now)
        numbered = [
            {"id": workflow.pk, "current_version": version.number, "entity_type": version.entity_type}
            for workflow, version, _ in renewed
        ]
        update(_SPEC, Rows.of(Workflow, numbered), actor=actor, now=now).raise_if_refused()
    _arm({workflow.pk: workflow for workflow in workflows}, actor, now)


def runner(actor: Actor, run_as: UUID | None) -> Actor | None:
    """In whose name a workflow runs, with all the rights that they have; None for who is no active member any more."""
    if run_as is None:
        return system_actor(actor.company_id)
    if run_as == actor.user_id and actor.api_key_id is None:
        return actor
    return find_actor(run_as, actor.company_id)


def _is_same(workflow: Workflow, version: WorkflowVersion | None) -> bool:
    return version is not None and (version.triggers, version.actions, version.entity_type) == (
        workflow.triggers,
        workflow.actions,
        workflow.entity_type or version.entity_type,
    )


def _next_version(
    actor: Actor, person: Actor, workflow: Workflow, now: datetime
) -> tuple[Workflow, WorkflowVersion, Definition]:
    found = read_definition(
        actor=person,
        workflow_type=workflow.workflow_type,
        entity_type=workflow.entity_type,
        triggers=workflow.triggers,
        actions=workflow.actions,
    )
    if found.faults:
        raise Invalid(faults=found.faults)
    version = WorkflowVersion(
        id=uuid7(),
        company_id=actor.company_id,
        workflow_id=workflow.pk,
        number=workflow.current_version + 1,
        entity_type=found.entity_type,
        triggers=workflow.triggers,
        actions=workflow.actions,
        created_at=now,
        created_by_id=actor.user_id,
    )
    return workflow, version, found


def _write_versions(
    actor: Actor, renewed: Sequence[tuple[Workflow, WorkflowVersion, Definition]], now: datetime
) -> None:
    WorkflowVersion.objects.bulk_create([version for _, version, _ in renewed])
    WorkflowTrigger.objects.filter(
        workflow_id__in=[workflow.pk for workflow, _, _ in renewed], is_current=True
    ).update(is_current=False, next_due_at=None)
    shared = {"company_id": actor.company_id, "created_at": now, "created_by_id": actor.user_id}
    WorkflowTrigger.objects.bulk_create(
        [
            _trigger_row(workflow, version, trigger, place, shared)
            for workflow, version, found in renewed
            for place, trigger in enumerate(found.triggers)
        ]
    )
    rows: list[WorkflowAction] = []
    for _, version, found in renewed:
        _action_rows(found.actions, version, None, "", shared, rows)
    WorkflowAction.objects.bulk_create(rows)


def _trigger_row(
    workflow: Workflow,
    version: WorkflowVersion,
    trigger: TriggerDocument,
    place: int,
    shared: Mapping[str, Any],
) -> WorkflowTrigger:
    kind, schedule = WorkflowTrigger.Kind.EVENT, None
    if trigger.schedule is not None:
        kind, schedule = WorkflowTrigger.Kind.SCHEDULE, trigger.schedule.model_dump()
    elif trigger.relative_to is not None:
        kind, schedule = WorkflowTrigger.Kind.DATE, trigger.relative_to.model_dump()
    return WorkflowTrigger(
        **shared,
        id=uuid7(),
        workflow_id=workflow.pk,
        of_version_id=version.pk,
        key=trigger.key or f"t{place + 1}",
        kind=kind,
        event_type=trigger.event_type,
        conditions=trigger.conditions or None,
        schedule=schedule,
        priority=trigger.priority,
        position=place,
        is_active=trigger.is_active,
    )


def _action_rows(
    actions: Sequence[ActionDocument],
    version: WorkflowVersion,
    parent: UUID | None,
    branch: str,
    shared: Mapping[str, Any],
    rows: list[WorkflowAction],
) -> None:
    for place, action in enumerate(actions):
        kind = ACTION_TYPES[action.action_type]
        leaves = isinstance(kind, ActionType) and kind.leaves_database
        attempts = action.retry.max_attempts if action.retry else NETWORK_ATTEMPTS if leaves else 1
        row = WorkflowAction(
            **shared,
            id=uuid7(),
            of_version_id=version.pk,
            key=action.key or "",
            action_type=action.action_type,
            payload=action.payload,
            ordering=action.ordering,
            position=place,
            allow_failure=action.allow_failure,
            max_attempts=attempts,
            delay_seconds=action.delay_seconds,
            conditions=action.conditions or None,
            parent_id=parent,
            branch=branch,
        )
        rows.append(row)
        for name in BRANCHES:
            _action_rows(action.inside(name), version, row.pk, name, shared, rows)


def _arm(workflows: Mapping[UUID, Workflow], actor: Actor, now: datetime) -> None:
    """When the schedules of workflows are due next; never while they are not active."""
    rows = WorkflowTrigger.objects.filter(workflow_id__in=list(workflows), is_current=True).exclude(
        kind=WorkflowTrigger.Kind.EVENT
    )
    for trigger in rows:
        workflow = workflows[trigger.workflow_id]
        on = workflow.status == WorkflowStatus.ACTIVE and workflow.is_active
        due = next_due(trigger, actor, now) if on and trigger.is_active else None
        if due is None or trigger.next_due_at is None:
            WorkflowTrigger.objects.filter(pk=trigger.pk).update(next_due_at=due)


def next_due(trigger: WorkflowTrigger, actor: Actor, after: datetime) -> datetime:
    """The first time later than `after` at which a schedule or a date trigger is due."""
    schedule: dict[str, Any] = trigger.schedule or {}
    if trigger.kind == WorkflowTrigger.Kind.SCHEDULE:
        return next_cron_time(schedule, after, actor)
    zone = zone_of(actor)
    hour, minute = map(int, schedule["at"].split(":"))
    day = after.astimezone(zone).date()
    while True:
        due = datetime.combine(day, time(hour, minute), zone).astimezone(UTC)
        if due > after:
            return due
        day += timedelta(days=1)


# --- starting runs ---------------------------------------------------------------------------------------------


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
