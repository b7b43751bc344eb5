"""Reports beside what the registry gives them: previews, runs, the records behind a cell, what may be asked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import orjson
from django.db.models import QuerySet
from django_filters import FilterSet
from rest_framework.request import Request
from rest_framework.response import Response

from analytics.reports import queries
from analytics.reports.definitions import read_definition
from analytics.reports.fields import fields_of
from analytics.reports.models import Report, ReportRun, RunStatus
from analytics.reports.operations.runs import ask_for_file, note_run
from analytics.reports.pivots import find_source
from analytics.reports.rendering import chart_of
from analytics.reports.views.documents import (
    PivotDocument,
    ReportFieldDocument,
    ReportFieldsDocument,
    ReportPreviewInput,
    ReportRunDocument,
    ReportRunInput,
    read_body,
)
from core.access import view
from core.kernel.errors import Conflict, Fault, Invalid
from core.render.charts.vega import vega_lite
from core.rest.filtered_lists import FilteredListView
from core.rest.filters import ChoiceFilter
from core.rest.listing import read_list_query, read_pairs, render_page
from core.rest.schema import documented
from core.rest.views import ApiView

FORMATS = ("json", "csv", "excel", "pdf", "html")
_KEY = {"type": "string", "default": "[]", "description": "The key of a header, as JSON: none is the total."}


class FieldsView(ApiView):
    """What may be asked of a data source."""

    verbs = {"get": "analytics"}

    @documented(
        response=ReportFieldsDocument,
        query={"data_source": {"type": "string", "examples": ["deals"]}},
        required_query=("data_source",),
    )
    def get(self, request: Request) -> Response:
        """Say what the caller may group by, sum up and filter by."""
        source = find_source(self.actor, request.query_params.get("data_source"))
        if source is None:
            detail = "There are no such records for you to report on."
            raise Invalid(faults=[Fault("data_source", "not_a_choice", detail)])
        document = ReportFieldsDocument(
            data_source=source.entity.plural,
            fields=[ReportFieldDocument(**vars(item)) for item in fields_of(source)],
        )
        return Response(document.model_dump(mode="json"))


class PreviewView(ApiView):
    """A report that is not kept."""

    verbs = {"post": "analytics"}

    @documented(request=ReportPreviewInput, response=PivotDocument)
    def post(self, request: Request) -> Response:
        """Run a report without keeping it."""
        asked = read_body(ReportPreviewInput, request.data)
        answer = queries.run(self.actor, asked.model_dump(), now=self.now)
        return Response(queries.as_document(answer))


class _OfReport(ApiView):
    verbs = {"get": "analytics", "post": "analytics"}

    def report(self, pk: str) -> Report:
        reports = view("report", self.actor)
        reports.require("read")
        found: Report = reports.get(pk)
        return found


class RunView(_OfReport):
    """Run a report."""

    @documented(
        request=ReportRunInput,
        response=PivotDocument,
        also={202: ReportRunDocument},
        query={
            "format": {
                "type": "string",
                "enum": list(FORMATS),
                "default": "json",
                "description": "json answers at once; of the others a job makes a file (202).",
            }
        },
        optional_body=True,
    )
    def post(self, request: Request, pk: str) -> Response:
        """Run the report over the records that the caller sees."""
        asked = read_body(ReportRunInput, request.data)
        chosen = request.query_params.get("format", "json")
        if chosen not in FORMATS:
            raise Invalid(faults=[Fault("format", "not_a_choice", f"There are: {', '.join(FORMATS)}.")])
        report = self.report(pk)
        document = {**queries.document_of(report), "filters": asked.filters}
        if chosen != "json":
            # What cannot be run is said now, not by the job.
            read_definition(self.actor, document)
            run = ask_for_file(self.actor, report, format=chosen, filters=asked.filters, now=self.now)
            return Response(run_document(run).model_dump(mode="json"), status=202)
        answer = queries.run(self.actor, document, now=self.now)
        note_run(self.actor, report, row_count=answer.record_count, filters=asked.filters, now=self.now)
        return Response(queries.as_document(answer))


class ChartView(_OfReport):
    """The chart of a report."""

    @documented(
        response={"type": "object", "additionalProperties": True},
        query={"theme": {"type": "string", "enum": ["light", "dark"], "default": "light"}},
        errors=(409, 422),
    )
    def get(self, request: Request, pk: str) -> Response:
        """Answer the report's chart as a Vega-Lite specification."""
        theme = request.query_params.get("theme", "light")
        if theme not in ("light", "dark"):
            raise Invalid(faults=[Fault("theme", "not_a_choice", "There are: light, dark.")])
        report = self.report(pk)
        chart = chart_of(self.actor, queries.document_of(report), report.name, now=self.now)
        if chart is None:
            raise Conflict("The report has no chart.", code="no_chart")
        return Response(vega_lite(chart, theme=theme))  # type: ignore[arg-type]


class DrillView(_OfReport):
    """The records behind a cell."""

    @documented(
        response={"type": "object", "additionalProperties": True},
        query={
            "row": _KEY,
            "column": _KEY,
            "page": {"type": "integer", "minimum": 1, "default": 1},
            "page_size": {"type": "integer", "minimum": 1, "maximum": 500, "default": 50},
        },
    )
    def get(self, request: Request, pk: str) -> Response:
        """List the records behind a cell, a subtotal or a total."""
        report = self.report(pk)
        pairs = read_pairs(request.query_params)
        given = dict(pairs)
        row, column = (_key(given.get(name, "[]"), name) for name in ("row", "column"))
        document = queries.document_of(report)
        records = queries.drill(self.actor, document, row, column, now=self.now)
        source = find_source(self.actor, report.data_source)
        assert source is not None  # noqa: S101 - the report was read with it
        paging = [(name, value) for name, value in pairs if name in ("page", "page_size")]
        asked = read_list_query([*paging, ("count", "exact")], source, self.now)
        base = request.build_absolute_uri(request.path)
        return Response(render_page(asked, base, pairs, records))


def _key(text: str, path: str) -> Any:
    try:
        document = orjson.loads(text)
    except orjson.JSONDecodeError:
        raise Invalid(faults=[Fault(path, "not_json", "A list of keys as JSON is expected.")]) from None
    return queries.read_key(document, path)


class RunFilters(FilterSet):
    status = ChoiceFilter(choices=RunStatus.choices, label="Where the run stands.")
    trigger = ChoiceFilter(choices=ReportRun.Trigger.choices, label="What started it.")


class RunsView(FilteredListView):
    """The times that a report was run, the newest first."""

    verbs = {"get": "analytics"}
    filterset_class: ClassVar[type[FilterSet]] = RunFilters
    orderings = {"created_at": "created_at"}
    default_ordering = "-created_at"
    document = ReportRunDocument

    def rows(self) -> QuerySet[Any]:
        reports = view("report", self.actor)
        reports.require("read")
        report = reports.get(self.kwargs["pk"])
        rows = ReportRun.objects.filter(report_id=report.pk)
        if reports.entity.owner is None or report.owner_id == self.actor.user_id:
            return rows
        # What somebody else saw is theirs.
        return rows.filter(run_as_id=self.actor.user_id)

    def documents(self, rows: Sequence[ReportRun]) -> list[ReportRunDocument]:
        return [run_document(run) for run in rows]


def run_document(run: ReportRun) -> ReportRunDocument:
    return ReportRunDocument(
        id=run.pk,
        trigger=run.trigger,
        run_as=run.run_as_id,
        status=run.status,
        format=run.format,
        recipient=run.recipient,
        created_at=run.created_at,
        finished_at=run.finished_at,
        duration_ms=run.duration_ms,
        row_count=run.row_count,
        complete=run.is_complete,
        error=run.error,
        job=run.job_id,
        file=run.file_id,
    )
