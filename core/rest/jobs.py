"""`/jobs/`: long work has one face, whatever does it.

An endpoint that starts long work enqueues a job and answers `accepted(…)`: 202, `Location` of the job, and the job itself.
Its client asks that address until `state` is `done`, `failed` or `canceled`, waiting `Retry-After` seconds in between::

    @documented(request=…, response=JobDocument, status=202)
    def post(self, request: Request) -> Response:
        job_id = start_export(actor=self.actor, …, now=self.now)
        return accepted(request, self.actor, job_id)
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from django.db.models import QuerySet
from django.http.response import HttpResponseBase
from django_filters import FilterSet
from pydantic import BaseModel, ConfigDict
from rest_framework.request import Request
from rest_framework.response import Response

from core.jobs import control, queries
from core.jobs.models import Job
from core.jobs.registry import job_kinds
from core.rest.filtered_lists import FilteredListView
from core.rest.filters import ChoiceFilter, ChoiceInFilter, TimeFilter, UUIDFilter
from core.rest.schema import documented
from core.rest.views import MEMBER, ApiView
from core.tenancy.actors import Actor

BASE = "/api/v1/"
# How soon a client should look again.
POLL_SECONDS = 1


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid")


class JobProgress(_Part):
    """How far the work is; `total` and `percent` are null where nobody knows."""

    done: int
    total: int | None
    percent: int | None
    phase: str


class JobOutcome(_Part):
    """What came of the work: a sentence, the address of the result where there is one, and the facts."""

    text: str
    url: str | None
    facts: dict[str, Any]


class JobProblem(_Part):
    """Why the last attempt failed."""

    code: str
    detail: str


class JobRecord(_Part):
    """The record that the work is about."""

    entity: str
    id: UUID
    url: str


class JobDocument(_Part):
    """A piece of long work. `attempts` counts starts since it last made headway."""

    id: UUID
    url: str
    kind: str
    label: str
    description: str
    subject: str
    record: JobRecord | None
    state: Literal["waiting", "running", "done", "failed", "canceled"]
    progress: JobProgress
    outcome: JobOutcome | None
    error: JobProblem | None
    attempts: int
    max_attempts: int
    can_cancel: bool
    can_retry: bool
    created_at: datetime
    created_by: UUID | None
    due_at: datetime
    started_at: datetime | None
    closed_at: datetime | None


def job_path(job_id: UUID) -> str:
    """Where the job is asked for."""
    return f"{BASE}jobs/{job_id}/"


def as_document(job: Job) -> JobDocument:
    """A job of `queries.jobs_seen_by` as the API answers it."""
    kind = job_kinds.find(job.kind)
    outcome, reference = queries.present(job), queries.reference_of(job)
    return JobDocument(
        id=job.pk,
        url=job_path(job.pk),
        kind=job.kind,
        label=kind.label if kind else job.kind,
        description=kind.description if kind else "",
        subject=job.subject,
        record=None
        if reference is None
        else JobRecord(entity=reference.entity, id=reference.id, url=f"{BASE}{reference.path}"),
        state=job.status,  # type: ignore[attr-defined]
        progress=JobProgress(
            done=job.progress.get("done") or 0,
            total=job.progress.get("total"),
            percent=queries.percent_of(job),
            phase=job.progress.get("phase") or "",
        ),
        outcome=None
        if outcome is None
        else JobOutcome(
            text=outcome.text, url=f"{BASE}{outcome.url}" if outcome.url else None, facts=job.outcome or {}
        ),
        error=None if job.problem is None else JobProblem(**job.problem),
        attempts=job.attempts,
        max_attempts=job.max_attempts,
        can_cancel=control.can_cancel(job),
        can_retry=control.can_retry(job),
        created_at=job.created_at,
        created_by=job.created_by_id,
        due_at=job.due_at,
        started_at=job.started_at,
        closed_at=job.closed_at,
    )


def accepted(request: Request, actor: Actor, job_id: UUID) -> Response:
    """202 with the job's address in `Location`, and the job.

    Raises: NotFound for a job that the actor does not see; a kind without a label is seen by nobody.
    """
    answer = _answer(queries.get_job(actor, job_id), status=202)
    point_to(answer, request, job_id)
    return answer


def point_to(answer: HttpResponseBase, request: Request, job_id: UUID) -> None:
    """Say in the headers of a 202 with a body of its own where the job is asked for."""
    answer["Location"] = request.build_absolute_uri(job_path(job_id))
    answer["Retry-After"] = str(POLL_SECONDS)


def _answer(job: Job, status: int = 200) -> Response:
    answer = Response(as_document(job).model_dump(mode="json"), status=status)
    if job.state == Job.State.OPEN:
        answer["Retry-After"] = str(POLL_SECONDS)
    return answer


class JobFilters(FilterSet):
    state = ChoiceFilter("status", choices=queries.STATUSES, label="Where it stands.")
    state__in = ChoiceInFilter("status", choices=queries.STATUSES, label="Several states, by commas.")
    kind = ChoiceFilter(choices=queries.listed_kinds, label="What kind of work.")
    created_by = UUIDFilter(label="Who asked for it.")
    created_at__gte = TimeFilter("created_at", "gte", label="Asked for at this time or later.")
    created_at__lt = TimeFilter("created_at", "lt", label="Asked for before this time.")


class JobsView(FilteredListView):
    """Long work: one's own, and all of the company for those who manage it; newest first."""

    filterset_class = JobFilters
    orderings = {"created_at": "created_at", "due_at": "due_at"}
    default_ordering = "-created_at"
    document = JobDocument

    def rows(self) -> QuerySet[Job]:
        return queries.jobs_seen_by(self.actor)

    def documents(self, rows: Sequence[Job]) -> list[JobDocument]:
        return [as_document(job) for job in rows]


class JobView(ApiView):
    """One piece of long work: where it stands, and in the end what came of it, or why nothing did."""

    verbs = {"get": MEMBER}

    @documented(response=JobDocument)
    def get(self, request: Request, job_id: UUID) -> Response:
        return _answer(queries.get_job(self.actor, job_id))


class CancelJobView(ApiView):
    """Cancel work that waits or runs; what it has already committed stays."""

    verbs = {"post": MEMBER}

    @documented(response=JobDocument)
    def post(self, request: Request, job_id: UUID) -> Response:
        control.cancel_job(actor=self.actor, job_id=job_id, now=self.now)
        return _answer(queries.get_job(self.actor, job_id))


class RetryJobView(ApiView):
    """Have work that failed tried again."""

    verbs = {"post": MEMBER}

    @documented(response=JobDocument, status=202)
    def post(self, request: Request, job_id: UUID) -> Response:
        control.retry_job(actor=self.actor, job_id=job_id, now=self.now)
        return accepted(request, self.actor, job_id)
