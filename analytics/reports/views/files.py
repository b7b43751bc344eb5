"""Downloads of reports that jobs wrote."""

from __future__ import annotations

from uuid import UUID

from django.http.response import HttpResponseBase
from rest_framework.request import Request

from analytics.reports.models import ReportRun
from core.access import view
from core.files.queries import get_file
from core.kernel.errors import Conflict, NotFound
from core.rest.files import answer_with_file
from core.rest.schema import Content, documented
from core.rest.views import ApiView

_BYTES = Content("*/*")


class DownloadView(ApiView):
    """The file of a run, for whoever it was made for: it holds what they may see."""

    verbs = {"get": "analytics"}

    @documented(
        response=_BYTES,
        also={206: _BYTES, 304: None},
        errors=(409, 412, 416),
        summary="Download a report",
    )
    def get(self, request: Request, pk: str, run_id: str) -> HttpResponseBase:
        reports = view("report", self.actor)
        reports.require("read")
        report = reports.get(pk)
        try:
            run = ReportRun.objects.filter(
                report_id=report.pk, run_as_id=self.actor.user_id, pk=UUID(run_id)
            ).first()
        except ValueError:
            run = None
        if run is None:
            raise NotFound()
        if run.file_id is None:
            raise Conflict("There is no file: see the run's status.", code="not_ready")
        return answer_with_file(request._request, get_file(self.actor, run.file_id, self.now))
