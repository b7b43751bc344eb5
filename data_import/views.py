"""Endpoints of imports."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict
from functools import cached_property
from typing import Any, ClassVar

from django.core.files.uploadedfile import UploadedFile
from django.http import HttpResponse, QueryDict
from rest_framework.parsers import MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response

from core.access import view
from core.entities import entities
from core.kernel.errors import Conflict, Fault, Invalid, NotFound, as_object
from core.kernel.ids import uuid7
from core.rest.jobs import job_path, point_to
from core.rest.parsing import MAX_BODY_BYTES, StrictJsonParser, read_json
from core.rest.schema import Content, documented, record
from core.rest.viewsets import EntityViewSet
from data_import import queries
from data_import.error_report import write_error_report
from data_import.extensions import IMPORT_FILE
from data_import.models import ImportJob, ImportTemplate, JobStatus
from data_import.operations import jobs, plan, staging
from data_import.schemas import SETTING_NAMES, read_settings, settings_of
from data_import.source import BLOCK_BYTES
from data_import.staged_rows import StagedRow, as_document

PATH = "/api/v1/data-import"
SAMPLES = 5

_OBJECT: dict[str, Any] = {"type": "object"}
_UPLOAD: dict[str, Any] = {
    "type": "object",
    "required": ["file"],
    "properties": {
        "file": {"type": "string", "format": "binary"},
        "entity_type": {"type": "string"},
        "template": {"type": "string", "format": "uuid"},
        "settings": {"type": "string", "description": "Settings of an import as a JSON object."},
    },
}
_CELLS: dict[str, Any] = {
    "type": "object",
    "required": ["cells"],
    "additionalProperties": False,
    "properties": {"cells": {"type": "object", "additionalProperties": {"type": "string"}}},
}
_START: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "properties": {"dry_run": {"type": "boolean"}, "plan_digest": {"type": "string"}},
}


def _form(request: Request) -> Mapping[str, Any]:
    """The parts of a form; none when the body is something else."""
    data: Any = request.data
    return data if isinstance(data, Mapping | QueryDict) else {}


class ImportJobViewSet(EntityViewSet):
    """Imports: upload a file, look at what it is, plan, start, watch, and see what failed and why."""

    entity_name = "import_job"
    parser_classes = (StrictJsonParser, MultiPartParser)
    # The file itself, and as much again as any other body for the rest of the form.
    max_body_bytes: ClassVar[int] = IMPORT_FILE.max_bytes + MAX_BODY_BYTES

    def check_right(self) -> None:
        """Any member may import what they may write; the operations ask for that. Jobs of others are not seen."""
        if self.action not in (
            "upload",
            "detect",
            "start",
            "cancel",
            "fix",
            "preview",
            "errors",
            "progress",
        ):
            super().check_right()

    # --- making -----------------------------------------------------------------------------------------------------

    @documented(
        request=Content("multipart/form-data", _UPLOAD),
        response=record("import_job"),
        status=201,
        shaped=True,
        errors=(413, 507),
    )
    def upload(self, request: Request, **kwargs: Any) -> HttpResponse:
        """Upload a file, with the settings of its import or a template."""
        form = _form(request)
        file = form.get("file")
        if not isinstance(file, UploadedFile):
            raise Invalid(faults=[Fault("file", "required", "A form with a file is expected.")])
        document, template = self._document(form)
        entity_type = document.pop("entity_type", None) or (template.entity_type if template else "")
        job_id = uuid7()
        jobs.create_job(
            actor=self.actor,
            job_id=job_id,
            entity_type=str(entity_type),
            settings=read_settings(document),
            file_name=file.name or "file",
            blocks=file.chunks(BLOCK_BYTES),
            now=self.now,
            template_id=template.pk if template else None,
        )
        return self.answer_with(job_id, status=201)

    def _document(self, form: Mapping[str, Any]) -> tuple[dict[str, Any], ImportTemplate | None]:
        """The settings that the form holds: those of its template, then `settings`, then its own parts."""
        faults = [
            Fault(name, "unknown_field", "There is no such field.")
            for name in form
            if name not in ("file", "entity_type", "template", "settings", *SETTING_NAMES)
        ]
        if faults:
            raise Invalid(faults=faults)
        document: dict[str, Any] = {}
        template = None
        if form.get("template"):
            try:
                template = view("import_template", self.actor).get(str(form["template"]))
            except NotFound:
                fault = Fault("template", "does_not_exist", "There is no such record.")
                raise Invalid(faults=[fault]) from None
            document = settings_of(template).model_dump(mode="json")
        if form.get("settings"):
            given = read_json(str(form["settings"]).encode("utf-8", "surrogatepass"))
            document |= as_object(given, "settings")
        for name in SETTING_NAMES:
            if name in form:
                text = str(form[name])
                plain = name in ("mode", "match_on")
                document[name] = text if plain else read_json(text.encode("utf-8", "surrogatepass"))
        if form.get("entity_type"):
            document["entity_type"] = str(form["entity_type"])
        return document, template

    def body_for_fingerprint(self, request: Request) -> bytes:
        if not (request.content_type or "").startswith("multipart/"):
            return super().body_for_fingerprint(request)
        form = _form(request)
        parts = [f"{name}={value}" for name, value in sorted(form.items()) if name != "file"]
        digest = hashlib.sha256("\n".join(parts).encode("utf-8", "surrogatepass"))
        file = form.get("file")
        if isinstance(file, UploadedFile):
            digest.update((file.name or "").encode("utf-8", "surrogatepass"))
            for block in file.chunks(BLOCK_BYTES):
                digest.update(block)
            file.seek(0)
        return digest.digest()

    # --- steps ------------------------------------------------------------------------------------------------------

    @cached_property
    def _job(self) -> ImportJob:
        verb = "read" if self.request.method in ("GET", "HEAD") else "update"
        job: ImportJob = self.view.get(self.kwargs["pk"], self.records(), verb=verb)
        return job

    @documented(response=_OBJECT, errors=(413,))
    def detect(self, request: Request, pk: str) -> HttpResponse:
        """Find out encoding, delimiter, header and columns, and propose a mapping."""
        return Response(jobs.detect_job(actor=self.actor, job=self._job, now=self.now))

    @documented(request=_START, optional_body=True, response=record("import_job"), status=202, shaped=True)
    def start(self, request: Request, pk: str) -> HttpResponse:
        """Have the import carried out, or only planned (`dry_run`); `plan_digest` insists on the plan that was seen."""
        body = as_object(request.data)
        faults = [
            Fault(name, "unknown_field", "There is no such field.")
            for name in body
            if name not in ("dry_run", "plan_digest")
        ]
        dry_run, digest = body.get("dry_run", False), body.get("plan_digest", "")
        if not isinstance(dry_run, bool):
            faults.append(Fault("dry_run", "not_a_boolean", "true or false is expected."))
        if not isinstance(digest, str):
            faults.append(Fault("plan_digest", "not_text", "A text is expected."))
        if faults:
            raise Invalid(faults=faults)
        work = jobs.start_job(actor=self.actor, job=self._job, now=self.now, dry_run=dry_run, digest=digest)
        answer = self.answer_with(self._job.pk, status=202)
        point_to(answer, request, work)
        return answer

    @documented(response=record("import_job"), shaped=True)
    def cancel(self, request: Request, pk: str) -> HttpResponse:
        """Stop at the next boundary between batches; what is in stays in."""
        jobs.cancel_job(actor=self.actor, job=self._job, now=self.now)
        return self.answer_with(self._job.pk)

    @documented(response=_OBJECT)
    def progress(self, request: Request, pk: str) -> HttpResponse:
        """How far the import is, counted from what is committed; `job` is the address of the work itself."""
        work = queries.find_work(self._job)
        job = None if work is None else job_path(work.pk)
        return Response({**asdict(queries.get_progress(self._job)), "job": job})

    @documented(request=_CELLS, response=StagedRow, path={"row": {"type": "integer", "minimum": 1}})
    def fix(self, request: Request, pk: str, row: str) -> HttpResponse:
        """Correct cells of one row; it is checked again, and the plan with it."""
        row_no = int(row) if row.isascii() and row.isdigit() and len(row) < 10 else 0
        body = as_object(request.data)
        faults = [Fault(name, "unknown_field", "There is no such field.") for name in body if name != "cells"]
        cells: Any = body.get("cells")
        if not isinstance(cells, dict) or not all(isinstance(value, str) for value in cells.values()):
            faults.append(Fault("cells", "required", "An object of columns and their new texts is expected."))
        if faults:
            raise Invalid(faults=faults)
        job = self._job
        jobs.require_importer(self.actor, job.entity_type, job.mode)
        staging.lock_job(self.actor, job)
        job.refresh_from_db()
        if job.status != JobStatus.STAGED:
            raise Conflict(
                "Rows can be corrected while a plan stands and nothing is written.", code="not_staged"
            )
        found = queries.staged_rows(job).filter(row_no=row_no).first()
        if found is None:
            raise NotFound()
        prepared = staging.prepare(self.actor, job)
        raw = staging.with_cells(found.raw, prepared.detection.headers, cells)
        staging.restage_row(self.actor, job, prepared, row_no, raw)
        digest = plan.judge_whole_file(self.actor, job, prepared.plan)
        jobs.note_counts(self.actor, job.pk, self.now, plan_digest=digest)
        return Response(as_document(queries.staged_rows(job).get(row_no=row_no)).model_dump(mode="json"))

    @documented(response=_OBJECT)
    def preview(self, request: Request, pk: str) -> HttpResponse:
        """What the plan would do: counts, its digest, and some of the rows with old and new values."""
        job = self._job
        if not job.plan_digest:
            raise Conflict("There is no plan yet; start the import with dry_run.", code="no_plan")
        target = view(entities[job.entity_type], self.actor)
        names = queries.planned_fields(job, target)
        body = {
            "plan_digest": job.plan_digest,
            "counts": asdict(queries.count_rows(job.company_id, job.pk)),
            "actions": queries.count_actions(job.company_id, job.pk),
            "decisions": job.decisions,
            "create": queries.sample_creates(job, names, SAMPLES),
            "update": queries.sample_updates(job, target, names, SAMPLES),
        }
        return Response(body)

    @documented(response=Content("text/csv"))
    def errors(self, request: Request, pk: str) -> HttpResponse:
        """Every error as a CSV file: row, column, field, value, rule, and a sentence."""
        report = write_error_report(self._job)
        answer = HttpResponse(report.text, content_type="text/csv; charset=utf-8")
        answer["Content-Disposition"] = 'attachment; filename="errors.csv"'
        answer["X-Row-Count"] = str(report.row_count)
        answer["X-Complete"] = "true" if report.is_complete else "false"
        return answer
