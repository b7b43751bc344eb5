"""Long work in the back office: what is under way, how far it is, what came of it, and the buttons that cancel and retry."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone
from django.views.decorators.http import require_POST

from core.backoffice.values import names_of, record_url, show_number
from core.backoffice.writing import actor_of
from core.entities import entities
from core.jobs import control, queries
from core.jobs.models import Job
from core.jobs.registry import job_kinds
from core.kernel.errors import DomainError, Invalid
from core.kernel.transactions import savepoint
from core.rest.filtered_lists import FilteredList
from core.rest.jobs import BASE, JobFilters

if TYPE_CHECKING:
    from core.backoffice.site import BackOfficeSite

_LIST = FilteredList(JobFilters, {"created_at": "created_at"}, "-created_at")
_BADGES = {"done": "good", "failed": "bad", "running": "warn"}
# What the form of the list sends.
_SENT = ("state", "kind", "page")


def urls(site: BackOfficeSite) -> list[Any]:
    """Pages of one job."""

    def named(tail: str, view: Callable[..., HttpResponse], name: str) -> Any:
        return path(f"jobs/<uuid:job_id>/{tail}", site.admin_view(view), name=name)

    return [
        named("", show, "job"),
        named("progress/", progress, "job_progress"),
        named("cancel/", require_POST(cancel), "job_cancel"),
        named("retry/", require_POST(retry), "job_retry"),
    ]


def show_list(request: HttpRequest) -> HttpResponse:
    """The jobs that the person may see, newest first; the filters are those of the API."""
    from django.contrib.admin import site

    actor = actor_of(request)
    given = {name: request.GET[name] for name in _SENT if request.GET.get(name)}
    seen = queries.jobs_seen_by(actor)
    try:
        page = _LIST.page(given, seen, scope="back office", zone=actor.zone)
    except Invalid:
        # An address that was typed or kept from another version.
        given = {}
        page = _LIST.page(given, seen, scope="back office", zone=actor.zone)
    people = names_of(actor, entities["user"], {job.created_by_id for job in page.rows if job.created_by_id})
    context: dict[str, Any] = {
        **site.each_context(request),
        "title": "Jobs",
        "statuses": queries.STATUSES,
        "kinds": queries.listed_kinds(),
        "given": given,
        "rows": [
            {**_line(job), "job": job, "asked_by": people.get(job.created_by_id, "")} for job in page.rows
        ],
        "page": page,
    }
    return TemplateResponse(request, "backoffice/jobs.html", context)


def show(request: HttpRequest, job_id: UUID) -> HttpResponse:
    """One job; while it is open the page follows it."""
    from django.contrib.admin import site

    actor = actor_of(request)
    job = queries.get_job(actor, job_id)
    kind = job_kinds.find(job.kind)
    outcome, reference = queries.present(job), queries.reference_of(job)
    entity = entities.find(reference.entity) if reference is not None else None
    people = names_of(actor, entities["user"], {job.created_by_id} if job.created_by_id else set())
    context: dict[str, Any] = {
        **site.each_context(request),
        **_line(job),
        "title": _title(job),
        "job": job,
        "description": kind.description if kind else "",
        "asked_by": people.get(job.created_by_id, "") if job.created_by_id else "",
        "outcome": outcome,
        "outcome_url": f"{BASE}{outcome.url}" if outcome and outcome.url and entity is None else "",
        "record_url": record_url(entity, reference.id) if entity is not None and reference else "",
        "record_label": entity.label if entity is not None else "",
        "is_open": job.state == Job.State.OPEN,
        "progress_text": _progress_text(job),
        "can_cancel": control.can_cancel(job),
        "can_retry": control.can_retry(job),
    }
    return TemplateResponse(request, "backoffice/job.html", context)


def progress(request: HttpRequest, job_id: UUID) -> HttpResponse:
    """How far it is, for the page that follows it."""
    job = queries.get_job(actor_of(request), job_id)
    is_over = job.state != Job.State.OPEN
    return JsonResponse({"percent": queries.percent_of(job), "text": _progress_text(job), "is_over": is_over})


def cancel(request: HttpRequest, job_id: UUID) -> HttpResponse:
    """Cancel it, and go on at its page."""
    return _done(request, job_id, control.cancel_job, "The job was canceled.")


def retry(request: HttpRequest, job_id: UUID) -> HttpResponse:
    """Have it tried again, and go on at its page."""
    return _done(request, job_id, control.retry_job, "The job will be tried again.")


def _done(request: HttpRequest, job_id: UUID, act: Callable[..., None], message: str) -> HttpResponse:
    queries.get_job(actor_of(request), job_id)
    try:
        with savepoint():
            act(actor=actor_of(request), job_id=job_id, now=timezone.now())
    except DomainError as refusal:
        messages.error(request, refusal.detail)
    else:
        messages.success(request, message)
    return HttpResponseRedirect(reverse("admin:job", args=[job_id]))


def _title(job: Job) -> str:
    kind = job_kinds.find(job.kind)
    label = kind.label if kind else job.kind
    return f"{label}: {job.subject}" if job.subject else label


def _line(job: Job) -> dict[str, Any]:
    status: str = job.status  # type: ignore[attr-defined]
    return {
        "name": _title(job),
        "status": status,
        "status_label": queries.LABELS[status],
        "badge": _BADGES.get(status, ""),
        "percent": queries.percent_of(job) if status == "running" else None,
    }


def _progress_text(job: Job) -> str:
    done, total = job.progress.get("done"), job.progress.get("total")
    if job.status == "waiting" and not done:  # type: ignore[attr-defined]
        if job.problem:
            return "The last attempt failed. The next one follows by itself."
        return "Waiting for a worker…"
    phase = (job.progress.get("phase") or "working").capitalize()
    if done is None:
        return f"{phase}…"
    amount = show_number(done)
    return f"{phase}: {amount} of {show_number(total)}" if total else f"{phase}: {amount}"
