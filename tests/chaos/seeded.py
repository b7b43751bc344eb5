"""Faults put into the system on purpose (`CHAOS_SEEDED` names one), to see that a chaos run finds them."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any


def forgetful_answers() -> None:
    """An Idempotency-Key is read and not kept: a request that is sent again is done again."""
    from core.kernel.faultpoints import fault
    from core.rest import idempotency

    def always(request: Any, actor: Any, body: bytes, now: Any, work: Callable[[], Any]) -> Any:
        from django.db import transaction

        answer = work()
        fault("request.before_commit")
        transaction.on_commit(lambda: fault("request.after_commit"))
        return answer

    idempotency.once = always


def ignored_lease() -> None:
    """Whoever is rung for takes a job, whether somebody works on it or not, and writes without asking."""
    from django.db import connection

    from core.jobs import leases, operations

    claim = operations.claim

    def claim_anyway(job_id: Any, *, now: Any) -> Any:
        with connection.cursor() as cursor:
            cursor.execute(
                "UPDATE core_job SET lease_until = NULL WHERE id = %s AND state = 'open'", [job_id]
            )
        return claim(job_id, now=now)

    def write_anyway(run: Any, change: str, values: list[Any]) -> None:
        with connection.cursor() as cursor:
            cursor.execute(
                f"UPDATE core_job SET {change} WHERE id = %s AND state = 'open'", [*values, run.id]
            )

    operations.claim = claim_anyway
    leases.write_held = write_anyway
    leases.hold = lambda run: None


def early_end() -> None:
    """A job is closed before its effect is committed."""
    from django.utils import timezone

    from core.jobs import leases, operations, running
    from core.kernel.transactions import unit_of_work

    attempt = running._attempt

    def close_first(kind: Any, run: Any) -> None:
        with unit_of_work():
            operations.finish(run, now=timezone.now())
        running.fault("job.before_commit")
        hold, write_held = leases.hold, leases.write_held
        leases.hold = lambda run: None
        leases.write_held = lambda *_: None
        try:
            attempt(kind, run)
        finally:
            leases.hold, leases.write_held = hold, write_held

    running._attempt = close_first


SEEDS = {seed.__name__: seed for seed in (forgetful_answers, ignored_lease, early_end)}


def install() -> None:
    """Put in the fault that the environment names, if it names one of this process."""
    name = os.environ.get("CHAOS_SEEDED")
    if name in SEEDS:
        SEEDS[name]()
