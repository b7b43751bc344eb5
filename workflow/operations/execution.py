"""Carrying runs out: actions in order, each with its row, so that whoever goes on after a crash knows what has happened.

A run is walked from its beginning each time; steps that have ended are passed over by their rows. The effects of a step
and its row are one commit. A step that leaves the database notes first that it begins, is called outside any transaction,
and is repeated with the same key if nobody knows what came of it.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import structlog
from django.conf import settings
from django.db import connection
from django.utils import timezone

from core.changes.facts import record_fact
from core.identity.queries import find_actor
from core.jobs import JobCanceled, JobRun, LeaseLost, enqueue
from core.jobs.operations import backoff
from core.kernel.errors import DomainError
from core.kernel.faultpoints import declare, fault
from core.kernel.transactions import RETRIED_STATES, savepoint, sql_state
from core.tenancy.actors import Actor, system_actor
from core.tenancy.context import Origin, actor_context
from workflow.event_types import find_event_type
from workflow.models import (
    OPEN_RUNS,
    RunStatus,
    StepStatus,
    Workflow,
    WorkflowAction,
    WorkflowActionRun,
    WorkflowRun,
)
from workflow.registries import ACTION_TYPES, ActionType
from workflow.steps import NoRecord, Step, refusal_of, related_records, wait_until

declare("workflow.step_begins", "workflow.step_done", "workflow.step_committed", "workflow.called")

ADVANCE = "workflow.advance"
SOURCE = "workflow"
# Before a run in the log's `user_agent`, so that a change can be told to be a run's.
ORIGIN = "workflow-run/"
NETWORK_ATTEMPTS = 5

# Of a step's row, what its end writes.
_WRITTEN = (
    "status",
    "attempt",
    "input",
    "output",
    "error_code",
    "error",
    "finished_at",
    "duration_ms",
)

_log = structlog.get_logger("atrium.workflow")


class _Ends(Exception):
    """The walk ends here; the rows say how."""


class _Fails(_Ends):
    pass


@dataclass
class _Scope:
    """Which record the steps are about."""

    entity_type: str
    record_id: UUID | None


def enqueue_runs(
    company_id: UUID, run_ids: list[UUID], *, now: datetime, due_at: datetime | None = None, key: str = ""
) -> None:
    """Have runs carried on, one after the other, after the commit. Needs a transaction."""
    if run_ids:
        payload = {"runs": [str(run_id) for run_id in run_ids]}
        enqueue(kind=ADVANCE, payload=payload, company_id=company_id, due_at=due_at, now=now, key=key or None)


def advance(job: JobRun, run_id: UUID) -> None:
    """Carry a run on until it ends or waits. Safe to repeat. Raises: LeaseLost, JobCanceled."""
    walk = _begin(job, run_id)
    if walk is not None:
        walk.go()


def _begin(job: JobRun, run_id: UUID) -> _Walk | None:
    now = timezone.now()
    with job.transaction():
        run = WorkflowRun.objects.select_for_update(no_key=True, of=("self",)).filter(pk=run_id).first()
        if run is None or run.status not in OPEN_RUNS:
            return None
        if run.status == RunStatus.WAITING and run.resume_at is not None and run.resume_at > now:
            return None
        if run.status == RunStatus.RUNNING and run.job_id != job.id:
            # The job that has it comes again until the run ends or waits.
            return None
        workflow = Workflow.objects.get(pk=run.workflow_id)
        person = find_actor(workflow.run_as_id, run.company_id) if workflow.run_as_id else None
        if workflow.run_as_id and person is None:
            _end(
                run,
                workflow,
                RunStatus.FAILED,
                now,
                "run_as_gone",
                "Whoever it runs as is no member any more.",
            )
            return None
        run.status, run.resume_at, run.awaited_event = RunStatus.RUNNING, None, ""
        run.started_at, run.job_id = run.started_at or now, job.id
        run.save(update_fields=["status", "resume_at", "awaited_event", "started_at", "job_id"])
        actions: dict[tuple[UUID | None, str], list[WorkflowAction]] = defaultdict(list)
        for action in WorkflowAction.objects.filter(of_version_id=run.of_version_id).order_by(
            "ordering", "position"
        ):
            actions[action.parent_id, action.branch].append(action)
        steps = {step.path: step for step in WorkflowActionRun.objects.filter(run_id=run.pk)}
    actor = replace(person or system_actor(run.company_id), cause=run.event_log_id, depth=run.depth)
    return _Walk(job, run, workflow, actor, actions, steps)


def _end(
    run: WorkflowRun, workflow: Workflow, status: str, now: datetime, code: str = "", error: str = ""
) -> None:
    """Close the run in the open transaction."""
    run.status, run.finished_at, run.error_code, run.error = status, now, code, error[:2_000]
    run.save(update_fields=["status", "finished_at", "error_code", "error", "duration_ms"])
    _log.info("workflow run ended", workflow=str(workflow.pk), run=str(run.pk), status=status, code=code)
    if status in (RunStatus.FAILED, RunStatus.TIMED_OUT):
        record_fact(
            action="run_failed",
            entity_type="workflow",
            entity_id=workflow.pk,
            entity_name=workflow.name,
            details={"run": str(run.pk), "code": code},
            description=error[:500],
        )


def fail_open_runs(run_ids: list[UUID], *, now: datetime) -> None:
    """Close runs whose work was given up because of a fault of ours. Needs a transaction."""
    for run in WorkflowRun.objects.select_for_update().filter(pk__in=run_ids, status__in=OPEN_RUNS):
        workflow = Workflow.objects.get(pk=run.workflow_id)
        _end(run, workflow, RunStatus.FAILED, now, "internal_error", "Something went wrong on our side.")


class _Walk:
    """One attempt to carry a run on."""

    def __init__(
        self,
        job: JobRun,
        run: WorkflowRun,
        workflow: Workflow,
        actor: Actor,
        actions: Mapping[tuple[UUID | None, str], list[WorkflowAction]],
        steps: dict[str, WorkflowActionRun],
    ) -> None:
        self.job = job
        self.run = run
        self.workflow = workflow
        self.actor = actor
        self.actions = actions
        self.steps = steps
        self.began = time.monotonic()
        self.worked_ms = run.duration_ms
        self.origin = Origin(user_agent=f"{ORIGIN}{run.pk}", correlation_id=run.correlation_id)

    def go(self) -> None:
        try:
            self.sequence(
                self.actions.get((None, ""), []), "", _Scope(self.run.entity_type, self.run.record_id)
            )
        except _Ends:
            return
        with self.transaction() as now:
            self.end(RunStatus.SUCCEEDED, now)

    @contextmanager
    def transaction(self) -> Iterator[datetime]:
        """A transaction of the run, as its person, while it is open. Raises: _Ends when somebody canceled it."""
        with self.job.transaction(), actor_context(self.actor, source=SOURCE, origin=self.origin):
            locked = WorkflowRun.objects.select_for_update(no_key=True, of=("self",)).get(pk=self.run.pk)
            if locked.status != RunStatus.RUNNING:
                raise _Ends()
            self.run = locked
            self.run.duration_ms = self.worked_ms + int((time.monotonic() - self.began) * 1000)
            yield timezone.now()

    def end(self, status: str, now: datetime, code: str = "", error: str = "") -> None:
        _end(self.run, self.workflow, status, now, code, error)

    def pause(self, now: datetime, until: datetime, *, awaited: str = "") -> None:
        """Go on later. In the step's transaction."""
        self.run.status, self.run.resume_at, self.run.awaited_event = RunStatus.WAITING, until, awaited
        self.run.save(update_fields=["status", "resume_at", "awaited_event", "duration_ms"])
        enqueue_runs(self.run.company_id, [self.run.pk], now=now, due_at=until)

    # --- walking ------------------------------------------------------------------------------------------------

    def sequence(self, actions: list[WorkflowAction], prefix: str, scope: _Scope) -> None:
        for action in actions:
            self.step(action, f"{prefix}{action.key}", scope)

    def step(self, action: WorkflowAction, path: str, scope: _Scope) -> None:
        known = self.steps.get(path)
        if known is None or known.status in (StepStatus.PENDING, StepStatus.RUNNING, StepStatus.RETRYING):
            known = self.perform(action, path, scope)
        if known.status != StepStatus.SUCCEEDED:
            return
        if action.action_type == "stop":
            with self.transaction() as now:
                self.end(RunStatus.SUCCEEDED, now)
            raise _Ends()
        if action.action_type == "branch":
            branch = known.output["taken"]
            self.sequence(self.actions.get((action.pk, branch), []), f"{path}.{branch}.", scope)
        if action.action_type == "for_each":
            for item in known.output["records"]:
                inner = _Scope(action.payload["entity"], UUID(item))
                self.sequence(self.actions.get((action.pk, "actions"), []), f"{path}[{item}].", inner)

    def perform(self, action: WorkflowAction, path: str, scope: _Scope) -> WorkflowActionRun:
        """Do one step, in a transaction of its own. Raises: _Ends where the run ends or waits with it."""
        kind = ACTION_TYPES.find(action.action_type)
        fault("workflow.step_begins")
        with self.transaction() as now:
            if self.run.duration_ms > settings.WORKFLOW_MAX_EXECUTION_TIME * 1000:
                limit = settings.WORKFLOW_MAX_EXECUTION_TIME
                self.end(RunStatus.TIMED_OUT, now, "too_long", f"A run may work for {limit} seconds.")
                ends = True
            else:
                row = self.row(action, path, now)
                ends = self.waits_first(action, row, now) or self.dispatch(kind, action, row, scope, now)
            fault("workflow.step_done")
        fault("workflow.step_committed")
        if ends:
            raise _Ends()
        if isinstance(kind, ActionType) and kind.leaves_database and row.status == StepStatus.RUNNING:
            self.call(kind, action, row, scope)
        return row

    def row(self, action: WorkflowAction, path: str, now: datetime) -> WorkflowActionRun:
        row = self.steps.get(path)
        if row is None:
            row = WorkflowActionRun.objects.create(
                company_id=self.run.company_id,
                run_id=self.run.pk,
                action_id=action.pk,
                path=path,
                number=len(self.steps) + 1,
                status=StepStatus.RUNNING,
                started_at=now,
            )
            self.steps[path] = row
        return row

    def waits_first(self, action: WorkflowAction, row: WorkflowActionRun, now: datetime) -> bool:
        """Whether its delay is not over yet."""
        if not action.delay_seconds:
            return False
        due = row.output.get("delayed_until")
        if due is None:
            until = now + timedelta(seconds=action.delay_seconds)
            row.output = {"delayed_until": until.isoformat()}
            row.save(update_fields=["output"])
            self.pause(now, until)
            return True
        return datetime.fromisoformat(due) > now

    def dispatch(
        self, kind: Any, action: WorkflowAction, row: WorkflowActionRun, scope: _Scope, now: datetime
    ) -> bool:
        """Do the step, or begin it. True where the run ends or waits with it."""
        step = self.context(action, row, scope, now)
        begun = time.monotonic()
        try:
            with savepoint():
                if not row.attempt and not step.holds(action.conditions):
                    self.close(row, StepStatus.SKIPPED, now, begun, {"reason": "condition_not_met"})
                    return False
                if kind is None:
                    raise DomainError("There is no such action any more.", code="unknown_action")
                if not isinstance(kind, ActionType):
                    return self.control(action, row, step, now, begun)
                is_repeated = kind.leaves_database and row.attempt > 0
                payload = row.input if is_repeated else step.fill(action.payload, kind)
                row.input = payload
                row.attempt += 1
                if kind.leaves_database:
                    row.status = StepStatus.RUNNING
                    row.save(update_fields=["input", "attempt", "status"])
                    return False
                output = kind.run(step, payload)
                connection.check_constraints()
            self.close(row, StepStatus.SUCCEEDED, now, begun, output)
        except (LeaseLost, JobCanceled, _Ends):
            raise
        except Exception as error:
            return self.fail(action, row, now, begun, error)
        return False

    def context(self, action: WorkflowAction, row: WorkflowActionRun, scope: _Scope, now: datetime) -> Step:
        began = (self.run.entity_type, self.run.record_id) if self.run.record_id else None
        return Step(
            actor=self.actor,
            now=now,
            key=str(row.pk),
            workflow_id=self.workflow.pk,
            workflow_name=self.workflow.name,
            run_id=self.run.pk,
            action_id=action.pk,
            entity_type=scope.entity_type,
            record_id=scope.record_id,
            event=self.run.event,
            began_with=began,
            outputs={path.rpartition(".")[2]: step.output for path, step in self.steps.items()},
        )

    def close(
        self,
        row: WorkflowActionRun,
        status: str,
        now: datetime,
        begun: float,
        output: Mapping[str, Any] | None = None,
        error: tuple[str, str] = ("", ""),
    ) -> None:
        row.status, row.finished_at = status, now
        row.output = dict(output or {})
        row.error_code, row.error = error
        row.duration_ms += int((time.monotonic() - begun) * 1000)
        row.save(update_fields=_WRITTEN)
        self.run.save(update_fields=["duration_ms"])

    def fail(
        self, action: WorkflowAction, row: WorkflowActionRun, now: datetime, begun: float, error: Exception
    ) -> bool:
        """Note the failure of a step whose effects are undone. True where the run ends or waits with it."""
        if sql_state(error) in RETRIED_STATES or connection.needs_rollback:
            raise error
        if isinstance(error, DomainError):
            code, text = refusal_of(error)
        else:
            _log.exception("workflow action failed", run=str(self.run.pk), action=action.action_type)
            code, text = "internal_error", "Something went wrong on our side."
        kind = ACTION_TYPES.find(action.action_type)
        is_network = isinstance(kind, ActionType) and kind.leaves_database
        if is_network and row.attempt < action.max_attempts and code != "address_refused":
            self.close(row, StepStatus.RETRYING, now, begun, row.output, (code, text))
            self.pause(now, now + backoff(row.attempt))
            return True
        self.close(row, StepStatus.FAILED, now, begun, {}, (code, text))
        if action.allow_failure:
            return False
        self.end(RunStatus.FAILED, now, code, text)
        return True

    # --- outside the database -----------------------------------------------------------------------------------

    def call(self, kind: ActionType, action: WorkflowAction, row: WorkflowActionRun, scope: _Scope) -> None:
        """Do a step that leaves the database, and note what came of it. Raises: _Ends."""
        step = self.context(action, row, scope, timezone.now())
        begun = time.monotonic()
        output: Mapping[str, Any] = {}
        error: Exception | None = None
        try:
            output = kind.run(step, row.input)
        except Exception as problem:
            error = problem
        fault("workflow.called")
        ends = False
        with self.transaction() as now:
            if error is None:
                self.close(row, StepStatus.SUCCEEDED, now, begun, output)
            else:
                ends = self.fail(action, row, now, begun, error)
        if ends:
            raise _Ends()

    # --- what decides how it goes on ----------------------------------------------------------------------------

    def control(
        self, action: WorkflowAction, row: WorkflowActionRun, step: Step, now: datetime, begun: float
    ) -> bool:
        match action.action_type:
            case "branch":
                taken = "then" if step.holds(action.payload["conditions"]) else "else"
                self.close(row, StepStatus.SUCCEEDED, now, begun, {"taken": taken})
            case "for_each":
                found = related_records(step, action.payload)
                self.close(row, StepStatus.SUCCEEDED, now, begun, {"records": [str(item) for item in found]})
            case "wait":
                return self.wait(action, row, step, now, begun)
            case _:
                self.close(row, StepStatus.SUCCEEDED, now, begun, step.fill(action.payload))
        return False

    def wait(
        self, action: WorkflowAction, row: WorkflowActionRun, step: Step, now: datetime, begun: float
    ) -> bool:
        until = row.output.get("until")
        if row.output.get("event"):
            self.close(row, StepStatus.SUCCEEDED, now, begun, row.output)
            return False
        awaited = str(action.payload.get("event") or "")
        if until is None:
            until_at = wait_until(step, action.payload, now)
            row.output = {"until": until_at.isoformat()}
            row.save(update_fields=["output"])
        else:
            until_at = datetime.fromisoformat(until)
        if until_at <= now:
            timed_out = {"timed_out": True} if awaited else {}
            self.close(row, StepStatus.SUCCEEDED, now, begun, {**row.output, **timed_out})
            return False
        event = find_event_type(awaited) if awaited else None
        self.pause(now, until_at, awaited=event.name if event else "")
        return True


__all__ = ["ADVANCE", "NoRecord", "advance", "enqueue_runs", "fail_open_runs"]
