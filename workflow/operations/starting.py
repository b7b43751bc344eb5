"""From changes to runs: which triggers start, what is held back and why, and waits that an event ends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

from django.db import connection
from django.db.models import Count

from core.changes.causes import MAX_DEPTH
from core.changes.events import Change
from workflow.event_types import event_document
from workflow.matching import Armed, Verdict, armed_triggers, judge
from workflow.models import RunStatus, StepStatus, Workflow, WorkflowActionRun, WorkflowRun
from workflow.operations.execution import ORIGIN, SOURCE
from workflow.operations.runs import NewRun, engine_is_on, enqueue_chains, start_runs

# Runs of one workflow on one record in an hour; more is a circle that no other guard has seen.
RUNS_PER_RECORD = 30
RATE_WINDOW = timedelta(hours=1)

LOOP, TOO_DEEP, RATE = "loop_detected", "too_deep", "rate_limited"


def start_on(company_id: UUID, changes: Sequence[Change], *, now: datetime) -> int:
    """Start what the changes start, and end the waits for them. Needs the company in context and a transaction.

    A fixed number of statements for any number of changes: one for the triggers, two for the records of each kind and
    person, one for each relation asked for, and those that write. Returns how many runs are new.
    """
    if not engine_is_on(company_id):
        return 0
    wake_waiting(company_id, changes, now=now)
    events = {event for change in changes for event in change.events}
    armed = armed_triggers(company_id, events=events)
    if not armed:
        return 0
    started = [verdict for verdict in judge(changes, armed) if not verdict.reason]
    return len(start_runs(company_id, runs_of(started, now=now), now=now))


def runs_of(verdicts: Sequence[Verdict], *, now: datetime) -> list[NewRun]:
    """The runs that these verdicts make: those that are held back say why."""
    if not verdicts:
        return []
    origins = _origins([verdict.change for verdict in verdicts])
    names = _names({name for origin in origins.values() for name in origin})
    counts = _recent({verdict.armed.workflow.pk for verdict in verdicts}, verdicts, now)
    runs = []
    for verdict in verdicts:
        run = _run(verdict, origins.get(verdict.change.log_id, ()))
        held_back = _held_back(verdict, run, names, counts)
        key = (run.workflow_id, run.record_id)
        counts[key] = counts.get(key, 0) + 1
        runs.append(replace(run, skipped=held_back))
    return runs


def event_key(armed: Armed, change: Change) -> str:
    """What makes a run the only one of its trigger and event."""
    return f"{armed.trigger.key}:log:{change.log_id}"


def _run(verdict: Verdict, ancestry: Sequence[str]) -> NewRun:
    armed, change = verdict.armed, verdict.change
    return NewRun(
        workflow_id=armed.workflow.pk,
        version_id=armed.trigger.of_version_id,
        event_key=event_key(armed, change),
        trigger_id=armed.trigger.pk,
        event_type=armed.trigger.event_type,
        event_log_id=change.log_id,
        event=event_document(change, armed.trigger.event_type),
        entity_type=armed.workflow.entity_type,
        record_id=change.entity_id if change.entity_type == armed.workflow.entity_type else None,
        depth=change.depth + 1,
        ancestry=ancestry,
        chain=str(change.log_id),
        correlation_id=change.correlation_id,
    )


def _held_back(
    verdict: Verdict,
    run: NewRun,
    names: Mapping[str, str],
    counts: Mapping[tuple[UUID, UUID | None], int],
) -> tuple[str, str] | None:
    workflow = verdict.armed.workflow
    own = str(workflow.pk)
    if own in run.ancestry and not workflow.allow_reentry:
        chain = [names.get(item, "a removed workflow") for item in run.ancestry]
        way = " → ".join([*chain[run.ancestry.index(own) :], workflow.name])
        return LOOP, f"It would go round in a circle: {way}."
    if run.depth > MAX_DEPTH:
        return TOO_DEEP, f"More than {MAX_DEPTH} changes in a row caused each other."
    if run.record_id and counts.get((workflow.pk, run.record_id), 0) >= RUNS_PER_RECORD:
        return RATE, f"It has run {RUNS_PER_RECORD} times on this record within an hour."
    return None


def _origins(changes: Sequence[Change]) -> dict[int, tuple[str, ...]]:
    """For each change that a run made: the workflows that led to it, the run's own last."""
    ids = [change.log_id for change in changes if change.source == SOURCE]
    if not ids:
        return {}
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT l.id, c.user_agent FROM core_changelog l JOIN core_changecontext c ON c.id = l.context_id "
            "WHERE l.id = ANY(%s)",
            [ids],
        )
        runs = {
            log_id: UUID(agent.removeprefix(ORIGIN))
            for log_id, agent in cursor.fetchall()
            if agent.startswith(ORIGIN)
        }
    known = {
        key: (*ancestry, str(workflow_id))
        for key, workflow_id, ancestry in WorkflowRun.objects.filter(pk__in=set(runs.values())).values_list(
            "pk", "workflow_id", "ancestry"
        )
    }
    return {log_id: known[run_id] for log_id, run_id in runs.items() if run_id in known}


def _names(ids: set[str]) -> dict[str, str]:
    if not ids:
        return {}
    return {str(key): name for key, name in Workflow.objects.filter(pk__in=ids).values_list("pk", "name")}


def _recent(
    workflows: set[UUID], verdicts: Sequence[Verdict], now: datetime
) -> dict[tuple[UUID, UUID | None], int]:
    records = {verdict.change.entity_id for verdict in verdicts if verdict.change.entity_id}
    counted = (
        WorkflowRun.objects.filter(
            workflow_id__in=workflows, record_id__in=records, created_at__gt=now - RATE_WINDOW
        )
        .exclude(status=RunStatus.SKIPPED)
        .order_by()
        .values_list("workflow_id", "record_id")
        .annotate(count=Count("pk"))
    )
    return {(workflow_id, record_id): count for workflow_id, record_id, count in counted}


# --- waits that an event ends ----------------------------------------------------------------------------------


def wake_waiting(company_id: UUID, changes: Sequence[Change], *, now: datetime) -> None:
    """Have runs go on that wait for one of these events of their record."""
    by_record: dict[tuple[str, UUID], Change] = {}
    for change in changes:
        if change.entity_id is not None:
            for event in change.events:
                by_record.setdefault((event, change.entity_id), change)
    if not by_record:
        return
    waiting = WorkflowRun.objects.select_for_update(no_key=True, of=("self",)).filter(
        status=RunStatus.WAITING,
        awaited_event__in={event for event, _ in by_record},
        record_id__in={record for _, record in by_record},
    )
    woken: list[UUID] = []
    found: dict[UUID, Change] = {}
    for run in waiting:
        ends = by_record.get((run.awaited_event, run.record_id))
        if ends is not None:
            woken.append(run.pk)
            found[run.pk] = ends
    if not woken:
        return
    for step in WorkflowActionRun.objects.filter(
        run_id__in=woken, status=StepStatus.RUNNING, action__action_type="wait"
    ):
        step.output = {**step.output, "event": found[step.run_id].log_id}
        step.save(update_fields=["output"])
    WorkflowRun.objects.filter(pk__in=woken).update(resume_at=now, awaited_event="")
    enqueue_chains(company_id, [[key] for key in woken], now=now)
