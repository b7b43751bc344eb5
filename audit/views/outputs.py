"""Downloads of exports and compliance reports."""

from __future__ import annotations

from django.http.response import HttpResponseBase
from rest_framework.request import Request

from audit.operations.outputs import REPORT_FILES
from audit.rights import VIEW_AUDIT
from core.access import view
from core.files.kinds import FILE_KINDS
from core.files.queries import find_file
from core.kernel.errors import Conflict, Fault, Forbidden, Gone, Invalid
from core.rest.files import answer_with_file
from core.rest.schema import Content, documented
from core.rest.views import ApiView

_BYTES = Content("*/*")


class _DownloadView(ApiView):
    verbs = {"get": VIEW_AUDIT}
    entity: str

    def answer(self, request: Request, output_id: str, field: str) -> HttpResponseBase:
        """Raises: NotFound, Forbidden, Conflict (`not_ready`), Gone (`file_expired`)."""
        output = view(self.entity, self.actor).get(output_id)
        file_id = getattr(output, field)
        if file_id is None:
            raise Conflict("There is no file: see the status.", code="not_ready")
        file = find_file(file_id, self.now)
        if file is None:
            raise Gone("The time of this file is over.", code="file_expired")
        if not FILE_KINDS[file.kind].readers(self.actor, file):
            raise Forbidden("This file is for whoever asked for it.")
        return answer_with_file(request._request, file)


class ExportDownloadView(_DownloadView):
    """The file of an export, for whoever asked for it: it holds the values that they may see."""

    entity = "audit_log_export"

    @documented(
        response=_BYTES,
        also={206: _BYTES, 304: None},
        errors=(409, 410, 412, 416),
        summary="Download an audit log export",
    )
    def get(self, request: Request, audit_log_export_id: str) -> HttpResponseBase:
        return self.answer(request, audit_log_export_id, "file_id")


class ReportDownloadView(_DownloadView):
    """A compliance report as a file."""

    entity = "compliance_report"

    @documented(
        response=_BYTES,
        query={"file_format": {"type": "string", "enum": list(REPORT_FILES), "default": "pdf"}},
        also={206: _BYTES, 304: None},
        errors=(409, 410, 412, 416),
        summary="Download a compliance report",
    )
    def get(self, request: Request, compliance_report_id: str) -> HttpResponseBase:
        chosen = request.query_params.get("file_format", "pdf")
        if chosen not in REPORT_FILES:
            detail = f"There are: {', '.join(REPORT_FILES)}."
            raise Invalid(faults=[Fault("file_format", "not_a_choice", detail)])
        return self.answer(request, compliance_report_id, REPORT_FILES[chosen])
