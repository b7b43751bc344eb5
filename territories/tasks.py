"""The worker's entry to territories."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.utils import timezone

from core.identity.queries import find_actor_of_work
from core.jobs import GiveUp, JobRun, Presented, job_handler
from core.tenancy.context import actor_context
from territories import reassignment
from territories.rights import MANAGE_TERRITORIES


def _present(outcome: Mapping[str, Any]) -> Presented:
    moved, refused = outcome["moved"], outcome["refused"]
    text = f"{moved} of {outcome['asked']} records moved."
    return Presented(f"{text} {refused} could not be changed." if refused else text)


@job_handler(
    reassignment.REASSIGN,
    transactional=False,
    label="Territory reassignment",
    description="Puts records into territories by the rules.",
    present=_present,
)
def reassign(run: JobRun) -> dict[str, Any]:
    """In the name of whoever asked for it, with the rights that they have by now."""
    assert run.company_id is not None  # noqa: S101 - a company's job has one
    key = run.payload["api_key"]
    actor = find_actor_of_work(UUID(run.payload["user"]), UUID(key) if key else None, run.company_id)
    if actor is None or not actor.rights.can(MANAGE_TERRITORIES):
        raise GiveUp("Whoever asked for it may no longer reassign territories.")
    with actor_context(actor, source="task"):
        return reassignment.work(run, actor, now=timezone.now())
