"""Kinds of jobs: which function does one, whose work it is, and what happens when it fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID

from django.utils import timezone

from core.jobs import leases
from core.jobs.leases import JobCanceled
from core.kernel.registry import Registry
from core.kernel.transactions import unit_of_work
from core.tenancy.actors import Actor

Tenancy = Literal["company", "platform"]

# A transaction guards itself: its job row stays locked while it lives. So its lease only bridges the start.
TRANSACTIONAL_LEASE = timedelta(seconds=15)
LONG_LEASE = timedelta(seconds=60)


class GiveUp(Exception):
    """Raised by a handler when trying again cannot help: the job fails at once, with this text."""


@dataclass(frozen=True)
class JobRun:
    """One attempt at a job, in the hands of its handler. The company (or the system) is bound already."""

    id: UUID
    kind: str
    company_id: UUID | None
    payload: dict[str, Any]
    attempt: int
    max_attempts: int
    token: int
    lease: timedelta
    created_by_id: UUID | None = None
    correlation_id: str = ""
    # The change that caused the job's making, and how many such steps lie behind it.
    cause: int | None = None
    depth: int = 0
    progress_so_far: dict[str, Any] = field(default_factory=dict)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """A transaction of a long-running job: commits only while this attempt still has the job.

        The job row is locked until the end, so a cancellation waits for it. Raises: LeaseLost, JobCanceled.
        """
        with unit_of_work():
            self.heartbeat()
            yield

    def heartbeat(self) -> None:
        """Keep the job for another lease.

        Raises: LeaseLost, JobCanceled.
        """
        leases.extend_lease(self, now=timezone.now())

    def progress(self, done: int, total: int | None = None, phase: str = "") -> None:
        """Show how far the work is; counts as headway, so that only attempts without any are limited.

        Raises: LeaseLost, JobCanceled.
        """
        document = {"done": done, "total": total, "phase": phase}
        leases.extend_lease(self, now=timezone.now(), progress=document)

    def is_canceled(self) -> bool:
        """Whether to stop. Keeps the job otherwise.

        Raises: LeaseLost.
        """
        try:
            self.heartbeat()
        except JobCanceled:
            return True
        return False


# A handler may return a time at which it wants to be called again (the job then stays open), or the outcome of the work
# as a JSON object: counts, ids, the name of a file. It is kept with the job and shown by the kind's `present`.
Handler = Callable[[JobRun], "datetime | Mapping[str, Any] | None"]

# Who may see, cancel and retry a company's job: whoever asked for it, and those who manage the company.
Audience = Literal["owner", "admins"]


@dataclass(frozen=True)
class Presented:
    """The outcome of a job as people see it: a sentence, and the path below the API's root of what came of it."""

    text: str
    url: str = ""


@dataclass(frozen=True)
class Reference:
    """The record that a job is about; `path` is its address below `/api/v1/`."""

    entity: str
    id: UUID
    path: str


@dataclass(frozen=True)
class JobKind:
    """How jobs of a kind are done."""

    name: str
    run: Handler
    tenancy: Tenancy
    transactional: bool
    max_attempts: int
    lease: timedelta
    # Periodic work: a slot at each multiple of `every` (since 1970, UTC) plus `offset`.
    every: timedelta | None = None
    offset: timedelta = timedelta(0)
    # Called in the transaction that gives a job up, with the reason.
    on_failed: Callable[[JobRun, str], None] | None = None
    # What people call this work. Without a label it is machinery, which no company sees.
    label: str = ""
    description: str = ""
    audience: tuple[Audience, ...] = ("owner", "admins")
    cancelable: bool = True
    # Called in the transaction in which somebody cancels a job: (actor, its payload, now).
    on_canceled: Callable[[Actor, Mapping[str, Any], datetime], None] | None = None
    # Of an outcome: what people see of it.
    present: Callable[[Mapping[str, Any]], Presented] | None = None
    # Of a payload: the record it is about.
    refers_to: Callable[[Mapping[str, Any]], Reference] | None = None

    @property
    def is_listed(self) -> bool:
        """Whether people see jobs of this kind."""
        return bool(self.label) and self.tenancy == "company"


job_kinds: Registry[JobKind] = Registry("job kind")


def job_handler(
    name: str,
    *,
    tenancy: Tenancy = "company",
    transactional: bool = True,
    max_attempts: int = 5,
    lease: timedelta | None = None,
    every: timedelta | None = None,
    offset: timedelta = timedelta(0),
    on_failed: Callable[[JobRun, str], None] | None = None,
    label: str = "",
    description: str = "",
    audience: tuple[Audience, ...] = ("owner", "admins"),
    cancelable: bool = True,
    on_canceled: Callable[[Actor, Mapping[str, Any], datetime], None] | None = None,
    present: Callable[[Mapping[str, Any]], Presented] | None = None,
    refers_to: Callable[[Mapping[str, Any]], Reference] | None = None,
) -> Callable[[Handler], Handler]:
    """Make a function the handler of a kind of jobs.

    With a `label`, people see its jobs: progress, outcome, and a way to cancel them (`/api/v1/jobs/`, back office).

    A transactional handler runs inside one transaction with the job's end: its database effects happen exactly once.
    Any other manages its transactions with `run.transaction()` and must be able to resume. With `every` a job is made
    for each slot: one, or one for each active company, unless the previous one is still open.
    """

    def registered(function: Handler) -> Handler:
        job_kinds.register(
            name,
            JobKind(
                name=name,
                run=function,
                tenancy=tenancy,
                transactional=transactional,
                max_attempts=max_attempts,
                lease=lease or (TRANSACTIONAL_LEASE if transactional else LONG_LEASE),
                every=every,
                offset=offset,
                on_failed=on_failed,
                label=label,
                description=description,
                audience=audience,
                cancelable=cancelable,
                on_canceled=on_canceled,
                present=present,
                refers_to=refers_to,
            ),
        )
        return function

    return registered
