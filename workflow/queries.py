"""Reads of workflows: runs, their figures, what would happen, and why nothing did."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import F, QuerySet

from core.access import view
from core.changes.events import Change
from core.conditions import Explanation
from core.identity.queries import find_actor
from core.identity.rights import MANAGE_USERS
from core.kernel.errors import DomainError, NotFound
from core.tenancy.actors import Actor, system_actor
from workflow.definitions import Definition, read_definition
from workflow.matching import NOT_COMPILED, NOT_MET, NOT_VISIBLE, RUN_AS_GONE, Verdict, arm, judge
from workflow.models import (
    RunStatus,
    Workflow,
    WorkflowRun,
    WorkflowStatus,
    WorkflowTrigger,
)
from workflow.operations import engine_is_on
from workflow.operations.starting import event_key
from workflow.registries import ACTION_TYPES, ActionType
from workflow.schemas import ActionDocument
from workflow.steps import Step, refusal_of, related_records

MAX_TESTED = 10_000
MAX_TEST_DAYS = 90
PLANNED = 20

_CHANGES = """
SELECT l.id, l.at, l.company_id, l.action, l.entity_type, l.entity_id, l.changed_fields, l.old_values, l.new_values,
  c.actor_id, c.source, c.cause, coalesce(c.depth, 0), c.correlation_id
FROM core_changelog l LEFT JOIN core_changecontext c ON c.id = l.context_id
WHERE l.company_id = %(company)s AND l.entity_type = %(entity)s AND l.at >= %(since)s
  AND (%(record)s::uuid IS NULL OR l.entity_id = %(record)s)
ORDER BY l.id DESC LIMIT %(limit)s"""


# --- runs ------------------------------------------------------------------------------------------------------


def runs() -> QuerySet[WorkflowRun]:
    """Runs with the names of their workflows and the numbers of their versions."""
    return WorkflowRun.objects.annotate(
        workflow_name=F("workflow__name"), version_number=F("of_version__number")
    )


def may_read_values(actor: Actor, workflow: Workflow) -> bool:
    """Whether the values that a run met may be shown: to whoever it runs as, and to administrators."""
    return workflow.run_as_id == actor.user_id or actor.rights.can(MANAGE_USERS)


@dataclass(frozen=True)
class Stats:
    """Figures of a workflow over the last days. Rates and times are None where nothing has ended."""

    days: int
    runs: int
    by_status: Mapping[str, int]
    success_rate: float | None
    p50_ms: float | None
    p95_ms: float | None
    last_run_at: datetime | None
    last_error: str | None
    last_error_at: datetime | None
    daily: Sequence[int] = field(default_factory=list)


def stats_of(workflow_ids: Sequence[UUID], *, now: datetime, days: int = 30) -> dict[UUID, Stats]:
    """Figures for each workflow. Two statements, however many there are."""
    since = now - timedelta(days=days)
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT workflow_id, count(*), count(*) FILTER (WHERE status = 'succeeded'),
              count(*) FILTER (WHERE status IN ('failed', 'timed_out')),
              jsonb_object_agg(status, 0),
              percentile_cont(0.5) WITHIN GROUP (ORDER BY duration_ms) FILTER (WHERE status = 'succeeded'),
              percentile_cont(0.95) WITHIN GROUP (ORDER BY duration_ms) FILTER (WHERE status = 'succeeded'),
              max(created_at),
              (array_agg(error ORDER BY finished_at DESC) FILTER (WHERE status IN ('failed', 'timed_out')))[1],
              max(finished_at) FILTER (WHERE status IN ('failed', 'timed_out'))
            FROM workflow_workflowrun WHERE workflow_id = ANY(%s) AND created_at >= %s GROUP BY workflow_id""",
            [list(workflow_ids), since],
        )
        totals = {row[0]: row[1:] for row in cursor.fetchall()}
        cursor.execute(
            "SELECT workflow_id, status, (%s::date - created_at::date) AS age, count(*) FROM workflow_workflowrun "
            "WHERE workflow_id = ANY(%s) AND created_at >= %s GROUP BY 1, 2, 3",
            [now.date(), list(workflow_ids), since],
        )
        parts = cursor.fetchall()
    found = {}
    for workflow_id in workflow_ids:
        row = totals.get(workflow_id)
        if row is None:
            found[workflow_id] = Stats(days, 0, {}, None, None, None, None, None, None, [0] * 14)
            continue
        by_status: dict[str, int] = {}
        daily = [0] * 14
        for key, status, age, count in parts:
            if key == workflow_id:
                by_status[status] = by_status.get(status, 0) + count
                if 0 <= age < 14:
                    daily[13 - age] += count
        count, succeeded, failed, _, p50, p95, last_at, last_error, last_error_at = row
        ended = succeeded + failed
        rate = round(succeeded / ended, 4) if ended else None
        found[workflow_id] = Stats(
            days, count, by_status, rate, p50, p95, last_at, last_error, last_error_at, daily
        )
    return found


# --- what would happen -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Planned:
    """An action that would be done: in words, and with the values it would have. `error` says what would refuse it."""

    path: str
    action_type: str
    summary: str
    would: Mapping[str, Any]
    skipped: bool = False
    error: str = ""


def definition_of(workflow: Workflow) -> tuple[Definition, Actor]:
    """The stored document as it would be run. Raises: NotFound when whoever it runs as is gone."""
    company_id = workflow.company_id
    person = find_actor(workflow.run_as_id, company_id) if workflow.run_as_id else system_actor(company_id)
    if person is None:
        raise NotFound("Whoever it runs as is no member any more.", code="run_as_gone")
    found = read_definition(
        actor=person,
        workflow_type=workflow.workflow_type,
        entity_type=workflow.entity_type,
        triggers=workflow.triggers,
        actions=workflow.actions,
    )
    return found, person


def plan(
    workflow: Workflow, record_id: UUID | None, *, now: datetime, event: Mapping[str, Any] | None = None
) -> list[Planned]:
    """What the workflow would do to a record as it is now. Nothing is written; no lock is taken."""
    definition, actor = definition_of(workflow)
    step = Step(
        actor=actor,
        now=now,
        key="dry-run",
        workflow_id=workflow.pk,
        workflow_name=workflow.name,
        run_id=None,
        action_id=None,
        entity_type=definition.entity_type,
        record_id=record_id,
        event=event or {"type": "manual"},
        began_with=(definition.entity_type, record_id) if record_id and definition.entity_type else None,
    )
    found: list[Planned] = []
    _plan(step, definition.actions, "", found)
    return found


def _plan(step: Step, actions: Sequence[ActionDocument], prefix: str, found: list[Planned]) -> bool:
    """Adds what these actions would do; whether the run goes on behind them."""
    for action in sorted(actions, key=lambda item: item.ordering):
        kind = ACTION_TYPES[action.action_type]
        path = f"{prefix}{action.key}"
        summary = kind.summarize(action.payload)
        try:
            if not step.holds(action.conditions):
                found.append(Planned(path, kind.name, summary, {}, skipped=True))
                continue
            if isinstance(kind, ActionType):
                payload = step.fill(action.payload, kind)
                would = payload if kind.preview is None else kind.preview(step, payload)
                found.append(Planned(path, kind.name, kind.summarize(payload), would))
            elif not _plan_control(step, action, path, summary, found):
                return False
        except DomainError as refusal:
            found.append(Planned(path, kind.name, summary, {}, error=refusal_of(refusal)[1]))
            if not action.allow_failure:
                return False
    return True


def _plan_control(step: Step, action: ActionDocument, path: str, summary: str, found: list[Planned]) -> bool:
    match action.action_type:
        case "branch":
            taken = "then" if step.holds(action.payload["conditions"]) else "else"
            found.append(Planned(path, "branch", summary, {"taken": taken}))
            return _plan(step, action.inside(taken), f"{path}.{taken}.", found)
        case "for_each":
            records = related_records(step, action.payload)
            found.append(Planned(path, "for_each", summary, {"records": [str(item) for item in records]}))
            for item in records[:PLANNED]:
                inner = replace(step, entity_type=action.payload["entity"], record_id=item)
                if not _plan(inner, action.actions, f"{path}[{item}].", found):
                    return False
            return True
        case "stop":
            found.append(Planned(path, "stop", summary, {}))
            return False
        case _:
            found.append(Planned(path, action.action_type, summary, step.fill(action.payload)))
            return True


# --- past events -----------------------------------------------------------------------------------------------


def past_changes(
    company_id: UUID,
    entity_type: str,
    *,
    since: datetime,
    limit: int = MAX_TESTED,
    record_id: UUID | None = None,
) -> list[Change]:
    """The newest entries of the log about one kind of record, the oldest first."""
    with connection.cursor() as cursor:
        cursor.execute(
            _CHANGES,
            {
                "company": company_id,
                "entity": entity_type,
                "since": since,
                "limit": limit,
                "record": record_id,
            },
        )
        rows = cursor.fetchall()
    return [
        Change(
            log_id=row[0],
            at=row[1],
            company_id=row[2],
            action=row[3],
            entity_type=row[4],
            entity_id=row[5],
            changed=frozenset(row[6] or ()),
            old=_values(row[7]),
            new=_values(row[8]),
            actor_id=row[9],
            source=row[10] or "",
            cause=row[11],
            depth=row[12],
            correlation_id=row[13] or "",
        )
        for row in reversed(rows)
    ]


def _values(found: Any) -> dict[str, Any]:
    values: dict[str, Any] = json.loads(found) if isinstance(found, str) else found or {}
    return values


def back_test(workflow: Workflow, *, since: datetime, limit: int = MAX_TESTED) -> tuple[int, list[Verdict]]:
    """How many past events there were, and those on which the workflow as it is now would have started."""
    if not workflow.entity_type:
        return 0, []
    triggers = WorkflowTrigger.objects.filter(
        workflow_id=workflow.pk, is_current=True, kind=WorkflowTrigger.Kind.EVENT, is_active=True
    )
    armed = arm(workflow.company_id, triggers)
    changes = past_changes(workflow.company_id, workflow.entity_type, since=since, limit=limit)
    verdicts: list[Verdict] = []
    for start in range(0, len(changes), 500):
        verdicts += [item for item in judge(changes[start : start + 500], armed) if not item.reason]
    return len(changes), verdicts


# --- why not? --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Reason:
    """One thing that keeps a workflow from running, or kept it: a stable code and a sentence."""

    code: str
    detail: str
    trigger: str = ""
    event: str = ""
    log_id: int | None = None
    run_id: UUID | None = None
    explanation: Explanation | None = None


_SENTENCES = {
    RUN_AS_GONE: "Whoever it runs as is no active member any more.",
    NOT_VISIBLE: "Whoever it runs as may not see this record.",
    NOT_COMPILED: "Whoever it runs as may not ask for a field of the conditions any more.",
    NOT_MET: "The conditions were not met.",
}


def why_not(actor: Actor, workflow: Workflow, record_id: UUID, *, now: datetime) -> list[Reason]:
    """Why the workflow did not run on a record, for each of its last events. Raises: NotFound for a record not seen."""
    if not workflow.entity_type:
        return [Reason("no_entity", "The workflow is about no kind of record.")]
    view(workflow.entity_type, actor).get(record_id)
    reasons: list[Reason] = []
    if not engine_is_on(actor.company_id):
        reasons.append(Reason("engine_off", "Workflows are switched off here."))
    if workflow.status != WorkflowStatus.ACTIVE or not workflow.is_active:
        reasons.append(Reason("not_active", "The workflow is not active."))
    rows = WorkflowTrigger.objects.filter(workflow_id=workflow.pk, is_current=True)
    armed = arm(actor.company_id, rows.filter(kind=WorkflowTrigger.Kind.EVENT, is_active=True))
    if not armed:
        reasons.append(Reason("no_trigger", "No trigger of it starts on an event."))
        return reasons
    since = now - timedelta(days=MAX_TEST_DAYS)
    changes = past_changes(actor.company_id, workflow.entity_type, since=since, limit=50, record_id=record_id)
    verdicts = judge(changes, armed, explain=True)
    if not verdicts:
        wanted = ", ".join(sorted({item.trigger.event_type for item in armed}))
        reasons.append(Reason("no_event", f"None of these happened to the record: {wanted}."))
    keys = [event_key(item.armed, item.change) for item in verdicts]
    known = {
        run.event_key: run for run in WorkflowRun.objects.filter(workflow_id=workflow.pk, event_key__in=keys)
    }
    for verdict, key in zip(verdicts, keys, strict=True):
        reasons.append(_reason(verdict, known.get(key)))
    return reasons


def _reason(verdict: Verdict, run: WorkflowRun | None) -> Reason:
    armed, change = verdict.armed, verdict.change
    code, detail = "not_read", "The change has not been looked at yet, or the workflow was off then."
    if run is not None and run.status == RunStatus.SKIPPED:
        code, detail = run.error_code, run.error
    elif run is not None:
        code, detail = "ran", f"It ran: {RunStatus(run.status).label.lower()}."
    elif verdict.reason:
        code, detail = verdict.reason, _SENTENCES[verdict.reason]
    elif change.at < armed.trigger.created_at:
        code, detail = "before_version", "It happened before this version of the workflow was there."
    return Reason(
        code,
        detail,
        trigger=armed.trigger.key,
        event=armed.trigger.event_type,
        log_id=change.log_id,
        run_id=None if run is None else run.pk,
        explanation=verdict.explanation,
    )
