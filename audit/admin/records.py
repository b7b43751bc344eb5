"""Policies, alerts, exports and reports among the records of the back office."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

from django.contrib import admin
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone

from audit.documents import entry_documents
from audit.models import AuditAlert, AuditLogExport, AuditPolicy, ComplianceReport, OutputStatus
from audit.operations.outputs import REPORT_FILES
from audit.policies.back_test import back_test
from core.backoffice.entity_admin import EntityAdmin
from core.backoffice.record_pages import ActionLink
from core.backoffice.writing import actor_of
from core.files.kinds import FILE_KINDS
from core.files.queries import find_file
from core.rest.files import answer_with_file

BACK_TEST_DAYS = (1, 7, 30, 90)


@admin.register(AuditPolicy)
class AuditPolicyAdmin(EntityAdmin):
    """What the company wants to hear of."""

    section, icon, position = "Audit", "policy", 30
    columns = ("name", "is_active", "applies_to_entities", "applies_to_actions", "retention_days")
    groups = (
        ("Policy", ("name", "description", "is_active")),
        ("When", ("rules", "applies_to_entities", "applies_to_actions")),
        ("Then", ("alert_on_violation", "alert_recipients", "retention_days")),
    )
    related = ("audit_alert.policy",)

    def extra_urls(self, named: Any) -> list[Any]:
        return [named("<uuid:record_id>/back-test/", self.back_test_view, "back_test")]

    def record_actions(self, request: HttpRequest, record: Any) -> list[ActionLink]:
        url = reverse("admin:audit_auditpolicy_back_test", args=[record.pk])
        return [ActionLink("Back-test", url, "science", is_main=True)]

    def back_test_view(self, request: HttpRequest, record_id: UUID) -> HttpResponse:
        """How often the policy would have fired."""
        if not self.has_view_permission(request):
            raise Http404
        policy = self.get_record(request, str(record_id))
        actor, now = actor_of(request), timezone.now()
        asked = request.GET.get("days", "30")
        days = int(asked) if asked in {str(choice) for choice in BACK_TEST_DAYS} else 30
        found = back_test(actor, policy, now - timedelta(days=days), now)
        context = {
            **self.admin_site.each_context(request),
            "title": f"Back-test of {policy.name}",
            "opts": self.opts,
            "record_url": self.record_url(policy.pk),
            "days": days,
            "choices": BACK_TEST_DAYS,
            "found": found,
            "entries": entry_documents(actor, found.newest),
        }
        return TemplateResponse(request, "backoffice/audit_back_test.html", context)


@admin.register(AuditAlert)
class AuditAlertAdmin(EntityAdmin):
    section, icon, position = "Audit", "notification_important", 40
    columns = ("action", "entity_type", "policy", "person", "occurred_at", "requires_review")
    filters = ("policy", "action", "entity_type", "person", "requires_review", "occurred_at")
    related = ()

    def record_actions(self, request: HttpRequest, record: Any) -> list[ActionLink]:
        url = reverse("admin:change_log_entry", args=[record.log_id])
        return [ActionLink("Show the entry", url, "manage_search", is_main=True)]


class _OutputAdmin(EntityAdmin):
    """Files that a job makes: the page of one leads to its job, and to the files once they are there."""

    section = "Audit"
    related = ()
    # Name of the button -> field that names the file.
    files: dict[str, str]

    def extra_urls(self, named: Any) -> list[Any]:
        return [named("<uuid:record_id>/file/", self.file_view, "file")]

    def record_actions(self, request: HttpRequest, record: Any) -> list[ActionLink]:
        meta = self.model._meta
        if record.status != OutputStatus.DONE:
            return [ActionLink("Show the job", reverse("admin:job", args=[record.job_id]), "pending_actions")]
        url = reverse(f"admin:{meta.app_label}_{meta.model_name}_file", args=[record.pk])
        return [
            ActionLink(label, f"{url}?which={field}", "download", is_main=place == 0)
            for place, (label, field) in enumerate(self.files.items())
        ]

    def file_view(self, request: HttpRequest, record_id: UUID) -> HttpResponseBase:
        """The file, for whom it is. Raises: Http404."""
        if not self.has_view_permission(request):
            raise Http404
        record = self.get_record(request, str(record_id))
        field = request.GET.get("which", "")
        file = find_file(getattr(record, field), timezone.now()) if field in self.files.values() else None
        if file is None or not FILE_KINDS[file.kind].readers(actor_of(request), file):
            raise Http404
        return answer_with_file(request, file)


@admin.register(AuditLogExport)
class AuditLogExportAdmin(_OutputAdmin):
    icon, position = "file_export", 50
    columns = ("name", "file_format", "status", "row_count", "created_by", "created_at", "expires_at")
    filters = ("status", "file_format", "created_at")
    files = {"Download": "file_id"}


@admin.register(ComplianceReport)
class ComplianceReportAdmin(_OutputAdmin):
    icon, position = "fact_check", 60
    columns = ("name", "report_type", "status", "period_start", "period_end", "created_at")
    filters = ("report_type", "status", "created_at")
    groups = (
        ("Report", ("report_type", "name")),
        ("Period", ("period_start", "period_end")),
        ("Data subject", ("subject_type", "subject_id")),
    )
    files = {f"Download {name.upper()}": field for name, field in REPORT_FILES.items()}
