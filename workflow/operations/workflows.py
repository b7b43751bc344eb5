"""Writes of workflows: documents are judged, each change of what a workflow does makes a version."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, time, timedelta
from typing import Any
from uuid import UUID

from django.db import connection

from core.changes import Outcome, Rows, WriteSpec, erase, insert, update
from core.identity.queries import find_actor
from core.identity.rights import MANAGE_USERS
from core.kernel.errors import Fault, Invalid, refused_input
from core.kernel.ids import uuid7
from core.tenancy import context
from core.tenancy.actors import Actor, system_actor
from workflow.definitions import Definition, next_cron_time, read_definition, zone_of
from workflow.models import (
    Workflow,
    WorkflowAction,
    WorkflowStatus,
    WorkflowTrigger,
    WorkflowType,
    WorkflowVersion,
)
from workflow.operations.execution import NETWORK_ATTEMPTS
from workflow.registries import ACTION_TYPES, ActionType
from workflow.schemas import BRANCHES, ActionDocument, TriggerDocument

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
