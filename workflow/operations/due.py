"""Schedules and dates: what is due now becomes runs, each slot and each record's date once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import Q

from core.access import view
from core.entities import entities
from core.entities.kinds import Kind
from core.jobs import enqueue, take_slots
from core.kernel.errors import DomainError
from core.kernel.transactions import needs_transaction
from core.tenancy.actors import Actor
from workflow.definitions import compile_for, zone_of
from workflow.matching import Armed, arm
from workflow.models import WorkflowStatus, WorkflowTrigger
from workflow.operations.runs import NewRun, engine_is_on, start_runs
from workflow.operations.workflows import next_due

DUE = "workflow.due"
# Records that one slot starts runs for.
MAX_RECORDS = 10_000
# Triggers that one tick hands on.
MAX_TRIGGERS = 1_000
# Dates that were missed while nothing ran are made up for this far back.
CATCH_UP_DAYS = 7


def hand_on_due(*, now: datetime) -> int:
    """A job for each company with triggers that are due. Needs a transaction and a system context."""
    needs_transaction()
    found: dict[UUID, list[str]] = defaultdict(list)
    rows = WorkflowTrigger.objects.filter(is_current=True, next_due_at__lte=now).order_by("next_due_at")
    for company_id, key in rows.values_list("company_id", "pk")[:MAX_TRIGGERS]:
        found[company_id].append(str(key))
    for company_id, keys in found.items():
        enqueue(kind=DUE, payload={"triggers": keys}, company_id=company_id, key="due", now=now)
    return sum(map(len, found.values()))


def start_due(company_id: UUID, trigger_ids: Iterable[UUID], *, now: datetime) -> int:
    """Start what these triggers owe by now. Needs the company in context and a transaction."""
    needs_transaction()
    rows = WorkflowTrigger.objects.select_for_update(no_key=True, of=("self",)).filter(
        pk__in=list(trigger_ids),
        is_current=True,
        next_due_at__lte=now,
        workflow__status=WorkflowStatus.ACTIVE,
        workflow__is_active=True,
    )
    started = 0
    is_on = engine_is_on(company_id)
    for armed in arm(company_id, rows):
        trigger = armed.trigger
        assert trigger.next_due_at is not None  # noqa: S101 - the query asked
        actor = armed.actor
        if actor is None or not is_on:
            WorkflowTrigger.objects.filter(pk=trigger.pk).update(next_due_at=now + timedelta(hours=1))
            continue
        slots = _slots(trigger, actor, now)
        schedule = f"workflow:{armed.workflow.pk}:{trigger.key}"
        for due in take_slots(schedule, slots, now=now, catch_up=_catch_up(trigger)):
            runs = _runs(armed, actor, due, now)
            started += len(start_runs(company_id, runs, now=now))
        WorkflowTrigger.objects.filter(pk=trigger.pk).update(next_due_at=next_due(trigger, actor, now))
    return started


def _catch_up(trigger: WorkflowTrigger) -> Any:
    # A date that passed unseen would never come again; a schedule does.
    return "all" if trigger.kind == WorkflowTrigger.Kind.DATE else "once"


def _slots(trigger: WorkflowTrigger, actor: Actor, now: datetime) -> list[datetime]:
    due = trigger.next_due_at
    found: list[datetime] = []
    while due is not None and due <= now and len(found) < 100:
        found.append(due)
        due = next_due(trigger, actor, due)
    if trigger.kind == WorkflowTrigger.Kind.DATE:
        return found[-CATCH_UP_DAYS:]
    return found


def _runs(armed: Armed, actor: Actor, due: datetime, now: datetime) -> list[NewRun]:
    trigger, workflow = armed.trigger, armed.workflow
    event = {"type": "schedule", "source": "schedule", "at": due.isoformat(), "depth": 0}
    if not workflow.entity_type:
        return [_new(armed, f"slot:{due.isoformat()}", event, None)]
    if trigger.kind == WorkflowTrigger.Kind.SCHEDULE and not trigger.conditions:
        # Without conditions it would mean every record there is: it runs once, about none.
        return [_new(armed, f"slot:{due.isoformat()}", event, None)]
    try:
        records = _due_records(armed, actor, due, now)
    except DomainError:
        return []
    return [
        _new(armed, f"{_name(trigger, due, actor)}:{key}", event, key)
        for key in records.order_by("pk").values_list("pk", flat=True)[:MAX_RECORDS]
    ]


def _name(trigger: WorkflowTrigger, due: datetime, actor: Actor) -> str:
    if trigger.kind == WorkflowTrigger.Kind.SCHEDULE:
        return f"slot:{due.isoformat()}"
    return f"date:{due.astimezone(zone_of(actor)).date().isoformat()}"


def _new(armed: Armed, key: str, event: dict[str, Any], record_id: UUID | None) -> NewRun:
    return NewRun(
        workflow_id=armed.workflow.pk,
        version_id=armed.trigger.of_version_id,
        event_key=f"{armed.trigger.key}:{key}",
        trigger_id=armed.trigger.pk,
        event_type="schedule",
        event=event,
        entity_type=armed.workflow.entity_type,
        record_id=record_id,
    )


def _due_records(armed: Armed, actor: Actor, due: datetime, now: datetime) -> Any:
    """The records that the slot is about, as one query."""
    trigger = armed.trigger
    entity = entities[armed.workflow.entity_type]
    records = view(entity, actor).records()
    if trigger.kind == WorkflowTrigger.Kind.DATE:
        records = records.filter(_on_date(trigger, actor, due))
    if trigger.conditions:
        condition = compile_for(actor, entity, trigger.conditions, old_values=False, in_memory=False)
        records = records.filter(condition.to_q(now=now))
    return records


def _on_date(trigger: WorkflowTrigger, actor: Actor, due: datetime) -> Q:
    """That the record's date is so many days away from the slot's day."""
    schedule: dict[str, Any] = trigger.schedule or {}
    zone = zone_of(actor)
    day = due.astimezone(zone).date() - timedelta(days=schedule["offset_days"])
    source = view(trigger.workflow.entity_type, actor)
    asked = source.access.ask(schedule["field"])
    if asked.kind is Kind.DATE:
        return Q(**{asked.attribute: day})
    begins = datetime(day.year, day.month, day.day, tzinfo=zone)
    return Q(**{f"{asked.attribute}__gte": begins, f"{asked.attribute}__lt": begins + timedelta(days=1)})
