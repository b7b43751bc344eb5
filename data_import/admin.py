"""Imports in the back office: upload, map, check, see the plan, import, and what came in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django import forms
from django.contrib import admin, messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_POST

from core.access import EntityView, view
from core.access.writing import write
from core.backoffice.entity_admin import EntityAdmin
from core.backoffice.forms import ActionForm, choice_select
from core.backoffice.home import PANELS, Line, Panel
from core.backoffice.values import list_url, record_url, show_number
from core.backoffice.writing import actor_of
from core.entities import Entity, entities
from core.files.queries import find_file, get_file
from core.kernel.errors import DomainError, Forbidden
from core.kernel.ids import uuid7
from core.kernel.transactions import savepoint
from core.rest.files import answer_with_file
from core.tenancy.actors import Actor
from data_import import queries
from data_import.error_report import write_error_report
from data_import.models import ImportJob, ImportMode, ImportTemplate, JobStatus
from data_import.operations import jobs
from data_import.schemas import SETTING_NAMES, read_settings, settings_of
from data_import.source import BLOCK_BYTES

SAMPLES_SHOWN = 3
PLAN_SAMPLES = 5
ERRORS_SHOWN = 50
IN_PROGRESS_SHOWN = 5
RUNNING = (JobStatus.VALIDATING, JobStatus.IMPORTING)
DONE = (JobStatus.COMPLETED, JobStatus.COMPLETED_WITH_ERRORS)
STEPS = ("Upload", "Map columns", "Check", "Import")


def importable_by(actor: Actor) -> list[Entity]:
    """The kinds of records that the person may fill from a file."""
    return [
        entity
        for entity in entities
        if entity.writes.create is not None
        and entity.is_soft_deleted
        and (view(entity, actor).can("create") or view(entity, actor).can("update"))
    ]


class UploadForm(ActionForm):
    """The first step."""

    file = forms.FileField(
        label="File",
        help_text="CSV or another delimited text, up to 512 MB.",
        widget=forms.FileInput(),
    )
    entity_type = forms.CharField(label="What is in it")
    mode = forms.CharField(label="What to do", widget=choice_select(ImportMode.choices))

    def __init__(self, actor: Actor, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        offered = [(entity.name, entity.label_plural) for entity in importable_by(actor)]
        self.fields["entity_type"].widget = choice_select(offered)


@admin.register(ImportJob)
class ImportJobAdmin(EntityAdmin):
    section, icon, position = "Setup", "upload_file", 50
    columns = ("file_name", "entity_type", "mode", "status", "created_count", "updated_count", "created_at")
    filters = ("status", "entity_type", "mode", "owner", "created_at")
    related = ()

    def has_add_permission(self, request: HttpRequest) -> bool:
        return bool(importable_by(actor_of(request)))

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        # Settings are changed on the job's own page.
        return False

    def extra_urls(self, named: Callable[..., Any]) -> list[Any]:
        def step(work: Callable[[HttpRequest, Any], None]) -> Callable[..., HttpResponse]:
            return require_POST(partial(self._step, work))

        return [
            named("<uuid:record_id>/map/", step(self._map), "map"),
            named("<uuid:record_id>/start/", step(self._start), "start"),
            named("<uuid:record_id>/cancel/", step(self._cancel), "cancel"),
            named("<uuid:record_id>/progress/", self.progress_view, "progress"),
            named("<uuid:record_id>/errors/", self.errors_view, "errors"),
            named("<uuid:record_id>/file/", self.file_view, "file"),
        ]

    def _url(self, page: str, job: Any) -> str:
        return reverse(f"admin:data_import_importjob_{page}", args=[job.pk])

    # --- upload ------------------------------------------------------------------------------------------------

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        if not self.has_add_permission(request):
            raise Forbidden()
        actor = actor_of(request)
        sent = (request.POST, request.FILES) if request.method == "POST" else ()
        form = UploadForm(actor, *sent, initial={"entity_type": request.GET.get("entity_type", "")})
        if form.is_bound and form.is_valid():
            job_id = uuid7()
            try:
                with savepoint():
                    self._upload(actor, job_id, form.cleaned_data)
            except DomainError as refusal:
                form.show_faults(refusal)
            else:
                return HttpResponseRedirect(self.record_url(job_id))
        context = {
            **self.admin_site.each_context(request),
            "title": "Import a file",
            "opts": self.opts,
            "form": form,
            "steps": STEPS,
            "current_step": STEPS[0],
            "media": self.media,
        }
        return TemplateResponse(request, "backoffice/import_upload.html", context)

    def _upload(self, actor: Actor, job_id: UUID, filled: dict[str, Any]) -> None:
        jobs.create_job(
            actor=actor,
            job_id=job_id,
            entity_type=filled["entity_type"],
            settings=read_settings({"mode": filled["mode"]}),
            file_name=filled["file"].name or "file",
            blocks=filled["file"].chunks(BLOCK_BYTES),
            now=timezone.now(),
        )
        jobs.detect_job(actor=actor, job=ImportJob.objects.get(pk=job_id), now=timezone.now())

    # --- the job's page ----------------------------------------------------------------------------------------

    def record_view(self, request: HttpRequest, record_id: UUID) -> HttpResponse:
        """Where the import stands, and what can be done now."""
        job = self.get_record(request, str(record_id))
        entity = entities.find(job.entity_type)
        if entity is None:
            raise Http404
        is_mapping = job.status == JobStatus.MAPPED or (
            job.status in (JobStatus.STAGED, JobStatus.UPLOADED) and request.GET.get("step") == "map"
        )
        is_queued = job.status == JobStatus.MAPPED and job.started_at is not None and not job.error
        is_confirmed = _is_confirmed(job)
        is_running = job.status in RUNNING or is_confirmed or (is_queued and request.GET.get("step") != "map")
        counts = queries.count_rows(job.company_id, job.pk)
        context: dict[str, Any] = {
            **self.admin_site.each_context(request),
            "title": job.file_name,
            "opts": self.opts,
            "job": job,
            "entity": entity,
            "counts": counts,
            "is_running": is_running,
            "is_done": job.status in DONE,
            "is_ended": job.status in jobs.ENDED,
            "is_staged": job.status == JobStatus.STAGED and not is_mapping and not is_running,
            "steps": STEPS,
            "current_step": STEPS[3]
            if job.status in (*DONE, JobStatus.IMPORTING) or is_confirmed
            else STEPS[2]
            if is_running or (job.status == JobStatus.STAGED and not is_mapping)
            else STEPS[1],
            "urls": {
                page: self._url(page, job)
                for page in ("map", "start", "cancel", "progress", "errors", "file")
            },
            "has_file": find_file(job.file_id, timezone.now()) is not None,
        }
        seen = view(entity, actor_of(request))
        if is_mapping and not is_running:
            context["mapping"] = self._mapping(job, seen)
        elif context["is_staged"]:
            context |= self._plan(job, seen)
        if counts.invalid or counts.failed:
            errors, _ = queries.list_errors(job.company_id, job.pk, ERRORS_SHOWN)
            context["errors"] = [{"row": row, **error} for row, error in errors[:ERRORS_SHOWN]]
        work = queries.find_work(job)
        if work is not None:
            context["work_url"] = reverse("admin:job", args=[work.pk])
        if job.status in DONE:
            context["came_in_url"] = self._came_in(job, entity)
        return TemplateResponse(request, "backoffice/import_job.html", context)

    def _mapping(self, job: Any, seen: EntityView) -> dict[str, Any]:
        settings = settings_of(job)
        headers: Sequence[str] = job.detected.get("headers", ())
        samples = job.detected.get("sample_rows", ())
        suggested = {item["column"]: item for item in job.detected.get("suggestions", ())}
        fields = job.detected.get("fields", ())
        return {
            "columns": [
                {
                    "number": number,
                    "header": header,
                    "samples": [row[number] for row in samples if number < len(row) and row[number]][
                        :SAMPLES_SHOWN
                    ],
                    "chosen": next(iter(settings.field_mapping.get(header, ())), ""),
                    "suggestion": suggested.get(header),
                }
                for number, header in enumerate(headers)
            ],
            "fields": [
                *((item["name"], item["label"], item["required"]) for item in fields),
                *([("full_name", "Full name", False)] if "last_name" in seen.editable else []),
            ],
            "modes": ImportMode.choices,
            "keys": [(field.name, field.label) for field in seen.editable.values() if field.key],
        }

    def _plan(self, job: Any, seen: EntityView) -> dict[str, Any]:
        names = queries.planned_fields(job, seen)

        def label(name: str) -> str:
            return seen.fields[name].label if name in seen.fields else name

        return {
            "actions": queries.count_actions(job.company_id, job.pk),
            "creates": [
                {
                    "row": item["row"],
                    "values": [(label(name), value) for name, value in item["values"].items()],
                }
                for item in queries.sample_creates(job, names, PLAN_SAMPLES)
            ],
            "updates": [
                {
                    "row": item["row"],
                    "url": record_url(seen.entity, item["record"]),
                    "changes": [(label(name), old, new) for name, (old, new) in item["changes"].items()],
                }
                for item in queries.sample_updates(job, seen, names, PLAN_SAMPLES)
            ],
        }

    def _came_in(self, job: Any, entity: Entity) -> str:
        filters = {
            "created_by": job.owner_id,
            "created_at__gte": job.started_at.isoformat(),
            "created_at__lte": job.finished_at.isoformat(),
        }
        return f"{list_url(entity)}?{urlencode(filters)}"

    # --- steps -------------------------------------------------------------------------------------------------

    def _step(
        self, work: Callable[[HttpRequest, Any], None], request: HttpRequest, record_id: UUID
    ) -> HttpResponse:
        job = self.get_record(request, str(record_id))
        try:
            with savepoint():
                work(request, ImportJob.objects.get(pk=job.pk))
        except DomainError as refusal:
            for text in [fault.detail for fault in refusal.faults] or [refusal.detail]:
                messages.error(request, text)
            return HttpResponseRedirect(f"{self.record_url(job.pk)}?step=map")
        return HttpResponseRedirect(self.record_url(job.pk))

    def _map(self, request: HttpRequest, job: ImportJob) -> None:
        """Keep the mapping, and have the file checked: nothing is written yet."""
        mapping: dict[str, list[str]] = {}
        for number, header in enumerate(job.detected.get("headers", ())):
            chosen = request.POST.get(f"column-{number}", "")
            if chosen:
                mapping[header] = [chosen]
        given = {
            "field_mapping": mapping,
            "mode": request.POST.get("mode", job.mode),
            "match_on": request.POST.get("match_on", ""),
        }
        stored = settings_of(job).model_dump(mode="json")
        checked = read_settings({**stored, **given}).model_dump(mode="json")
        row = {"id": job.pk, **{name: checked[name] for name in SETTING_NAMES if name in given}}
        write(self.view_of(request), "update", [row], now=timezone.now()).raise_if_refused()
        fresh = ImportJob.objects.get(pk=job.pk)
        jobs.start_job(actor=actor_of(request), job=fresh, now=timezone.now(), dry_run=True)

    def _start(self, request: HttpRequest, job: ImportJob) -> None:
        """Import what the plan said; a plan that changed meanwhile is refused."""
        digest = request.POST.get("digest", "")
        jobs.start_job(actor=actor_of(request), job=job, now=timezone.now(), digest=digest)

    def _cancel(self, request: HttpRequest, job: ImportJob) -> None:
        jobs.cancel_job(actor=actor_of(request), job=job, now=timezone.now())

    def progress_view(self, request: HttpRequest, record_id: UUID) -> HttpResponse:
        """How far it is, for the page that watches."""
        job = self.get_record(request, str(record_id))
        found = queries.get_progress(job)
        is_planned = job.status == JobStatus.STAGED and not _is_confirmed(job)
        is_over = is_planned or job.status in jobs.ENDED or bool(job.error)
        percent = min(100, round(100 * found.done / found.total)) if found.total else 0
        status_text = f"{found.phase.capitalize()}: {show_number(found.done)}" + (
            f" of {show_number(found.total)} rows" if found.total else " rows"
        )
        if found.phase == "waiting":
            status_text = "Waiting for a worker…"
        return JsonResponse({"percent": percent, "text": status_text, "is_over": is_over})

    def file_view(self, request: HttpRequest, record_id: UUID) -> HttpResponseBase:
        """The file itself, for those who may read it."""
        job = self.get_record(request, str(record_id))
        if job.file_id is None:
            raise Http404
        return answer_with_file(request, get_file(actor_of(request), job.file_id, timezone.now()))

    def errors_view(self, request: HttpRequest, record_id: UUID) -> HttpResponse:
        """Every error as a CSV file."""
        job = self.get_record(request, str(record_id))
        answer = HttpResponse(write_error_report(job).text, content_type="text/csv; charset=utf-8")
        answer["Content-Disposition"] = 'attachment; filename="errors.csv"'
        return answer


def _is_confirmed(job: Any) -> bool:
    """Whether the plan was said yes to and no worker has begun: the plan stands, and more than it was asked for."""
    return bool(job.status == JobStatus.STAGED and not job.is_dry_run and not job.error)


@admin.register(ImportTemplate)
class ImportTemplateAdmin(EntityAdmin):
    section, icon, position = "Setup", "rule_settings", 51
    columns = ("name", "entity_type", "mode", "match_on", "created_at")
    related = ()


def imports_in_progress(actor: Actor) -> Panel | None:
    """Files on their way in that the person sees."""
    seen = view("import_job", actor)
    if not seen.can("read"):
        return None
    under_way = [item.value for item in JobStatus if item not in (*jobs.ENDED, JobStatus.FAILED)]
    running = seen.records().filter(status__in=under_way).order_by("-created_at")[:IN_PROGRESS_SHOWN]
    lines = []
    for job in running:
        found = queries.get_progress(job)
        # What waits for the person makes no progress.
        percent = min(100, round(100 * found.done / found.total)) if found.total else 0
        is_running = job.status in RUNNING or _is_confirmed(job)
        lines.append(
            Line(
                job.file_name,
                record_url(seen.entity, job.pk),
                job.get_status_display(),
                percent=percent if is_running else None,
            )
        )
    return Panel(
        "Imports in progress",
        f"{list_url(seen.entity)}?{urlencode({'status__in': ','.join(under_way)})}",
        "All under way",
        lines=lines,
        empty="No import is under way.",
    )


PANELS.register("data_import.progress", imports_in_progress)
