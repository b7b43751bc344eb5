"""Doing a job: claim it, bind its company, run its handler, close it in the transaction of the effect.

A worker may die at any line. Before the claim is committed nothing has happened; after it the lease runs out and the
sweep rings again; the effect and the job's end are one commit.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

import structlog
from django.db import connection
from django.utils import timezone

from core.changes.causes import LoopDetected
from core.jobs import leases, operations
from core.jobs.leases import JobCanceled, LeaseLost
from core.jobs.registry import GiveUp, JobKind, JobRun, job_kinds
from core.kernel.errors import DomainError
from core.kernel.faultpoints import declare, fault
from core.kernel.transactions import retried, savepoint, unit_of_work
from core.observability.correlation import correlation, identify
from core.tenancy.actors import system_actor
from core.tenancy.context import Context, Origin, company_context, system_context

declare("job.claimed", "job.before_commit", "job.after_commit")

_log = structlog.get_logger("atrium.jobs")


def run_job(job_id: UUID, *, now: datetime | None = None) -> bool:
    """Do the job if it is due and free. True when its handler ran to the end.

    A failing handler does not raise here: the attempt is noted and the job comes again, or is given up.
    """
    with system_context("claim a job"), unit_of_work():
        run = operations.claim(job_id, now=now or timezone.now())
    if run is None:
        return False
    fault("job.claimed")
    kind = job_kinds[run.kind]
    with correlation(run.correlation_id), _context_of(run):
        identify(company_id=run.company_id)
        try:
            if run.attempt > run.max_attempts:
                raise GiveUp("The process that did this work died each time it was tried.")
            _attempt(kind, run)
        except LeaseLost:
            _log.warning("another worker has the job", job_id=str(run.id), kind=run.kind)
            return False
        except JobCanceled:
            _log.info("job canceled while it ran", job_id=str(run.id), kind=run.kind)
            return False
        except GiveUp as hopeless:
            _log.warning("job given up", job_id=str(run.id), kind=run.kind, reason=str(hopeless))
            _note_failure(kind, run, hopeless)
            return False
        except Exception as error:
            _log.exception("job failed", job_id=str(run.id), kind=run.kind, attempt=run.attempt)
            _note_failure(kind, run, error)
            return False
    fault("job.after_commit")
    return True


def _context_of(run: JobRun) -> AbstractContextManager[Context]:
    if run.company_id is None:
        return system_context(f"job {run.kind}")
    return company_context(
        run.company_id,
        actor=replace(system_actor(run.company_id), cause=run.cause, depth=run.depth),
        source="task",
        origin=Origin(correlation_id=run.correlation_id),
    )


def _attempt(kind: JobKind, run: JobRun) -> None:
    if not kind.transactional:
        result = kind.run(run)
        with unit_of_work():
            fault("job.before_commit")
            _finish(run, result)
        return

    def effect() -> None:
        leases.hold(run)
        _finish(run, kind.run(run))
        fault("job.before_commit")

    if connection.in_atomic_block:
        # Whoever opened the transaction keeps it when the handler fails.
        with savepoint():
            effect()
    else:
        retried(effect)


def _finish(run: JobRun, result: datetime | Mapping[str, Any] | None) -> None:
    if isinstance(result, datetime):
        operations.finish(run, now=timezone.now(), again_at=result)
    else:
        operations.finish(run, now=timezone.now(), outcome=result)


def problem_of(error: Exception) -> dict[str, str]:
    """Why an attempt failed, in words for people: nothing of the program's own."""
    if isinstance(error, GiveUp):
        return {"code": "given_up", "detail": str(error)}
    if isinstance(error, DomainError):
        reasons = [fault.detail for fault in error.faults if fault.detail not in error.detail]
        return {
            "code": error.code,
            "detail": " ".join([error.detail, *reasons])[: operations.MAX_ERROR_LENGTH],
        }
    return {"code": "internal_error", "detail": "Something went wrong on our side."}


def _note_failure(kind: JobKind, run: JobRun, error: Exception) -> None:
    # The first line alone: what databases add to it quotes values of rows.
    text = f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
    try:
        with unit_of_work():
            comes_again = operations.fail(
                run,
                error=text,
                now=timezone.now(),
                for_good=isinstance(error, GiveUp | LoopDetected),
                problem=problem_of(error),
            )
            if not comes_again and kind.on_failed is not None:
                kind.on_failed(run, text)
    except (LeaseLost, JobCanceled):
        _log.warning("the failed job is no longer ours", job_id=str(run.id), kind=run.kind)
