"""Jobs as people see them: whose they see, and where each stands."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from uuid import UUID

from django.db.models import Case, CharField, F, Q, QuerySet, Value, When
from django.db.models.functions import Now

from core.identity.rights import MANAGE_USERS
from core.jobs.models import Job
from core.jobs.registry import Audience, Presented, Reference, job_kinds
from core.kernel.errors import NotFound
from core.tenancy.actors import Actor

# What `with_status` tells apart: an open job waits or is at work.
STATUSES = (
    ("waiting", "Waiting"),
    ("running", "Running"),
    ("done", "Done"),
    ("failed", "Failed"),
    ("canceled", "Canceled"),
)
LABELS = dict(STATUSES)


def jobs_seen_by(actor: Actor) -> QuerySet[Job]:
    """The company's jobs that the actor may see, each with its `status`. Needs the company in context."""
    kinds: dict[tuple[Audience, ...], list[str]] = defaultdict(list)
    for kind in job_kinds:
        if kind.is_listed:
            kinds[kind.audience].append(kind.name)
    is_admin = actor.rights.can(MANAGE_USERS)
    # Of kinds that nobody may see there are none.
    seen = Q(pk__in=[])
    for audience, names in kinds.items():
        if is_admin and "admins" in audience:
            seen |= Q(kind__in=names)
        elif actor.user_id is not None and "owner" in audience:
            seen |= Q(kind__in=names, created_by=actor.user_id)
    return with_status(Job.objects.filter(seen, is_listed=True))


def with_status(jobs: QuerySet[Job]) -> QuerySet[Job]:
    """Annotates `status`, one of `STATUSES`. A job whose worker died waits again when its lease has run out."""
    return jobs.annotate(
        status=Case(
            When(state=Job.State.OPEN, lease_until__gt=Now(), then=Value("running")),
            When(state=Job.State.OPEN, then=Value("waiting")),
            default=F("state"),
            output_field=CharField(),
        )
    )


def get_job(actor: Actor, job_id: UUID) -> Job:
    """Raises: NotFound for a job that the actor does not see."""
    job = jobs_seen_by(actor).filter(pk=job_id).first()
    if job is None:
        raise NotFound()
    return job


def percent_of(job: Job) -> int | None:
    """0 to 100; None where the total is not known."""
    if job.state == Job.State.DONE:
        return 100
    done, total = job.progress.get("done") or 0, job.progress.get("total") or 0
    return min(100, int(100 * done / total)) if total else None


def present(job: Job) -> Presented | None:
    """The outcome for people; None while there is none."""
    if job.outcome is None:
        return None
    kind = job_kinds.find(job.kind)
    if kind is None or kind.present is None:
        return Presented("Done.")
    return kind.present(job.outcome)


def reference_of(job: Job) -> Reference | None:
    """The record that the job is about."""
    kind = job_kinds.find(job.kind)
    return None if kind is None or kind.refers_to is None else kind.refers_to(job.payload)


def listed_kinds() -> Iterable[tuple[str, str]]:
    """Name and label of every kind that people see."""
    return [(kind.name, kind.label) for kind in job_kinds if kind.is_listed]
