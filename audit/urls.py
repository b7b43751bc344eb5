"""Routes of audit."""

from __future__ import annotations

from django.urls import path

from audit.views import logs
from audit.views.outputs import ExportDownloadView, ReportDownloadView
from audit.views.policies import BackTestView
from audit.views.seals import ProofView, SealsView

urlpatterns: list[object] = [
    path("audit/logs/", logs.LogsView.as_view(), name="audit-logs"),
    path("audit/logs/by-entity/", logs.HistoryView.as_view(), name="audit-history"),
    path("audit/logs/as-of/", logs.AsOfView.as_view(), name="audit-as-of"),
    path("audit/logs/<str:log_id>/", logs.LogView.as_view(), name="audit-log"),
    path("audit/logs/<str:log_id>/review/", logs.ReviewView.as_view(), name="audit-log-review"),
    path("audit/logs/<str:log_id>/revert/", logs.RevertView.as_view(), name="audit-log-revert"),
    path(
        "audit/exports/<str:audit_log_export_id>/download/",
        ExportDownloadView.as_view(),
        name="audit-export-download",
    ),
    path(
        "audit/compliance-reports/<str:compliance_report_id>/download/",
        ReportDownloadView.as_view(),
        name="audit-report-download",
    ),
    path("audit/seals/", SealsView.as_view(), name="audit-seals"),
    path("audit/seals/<str:seal_id>/proof/", ProofView.as_view(), name="audit-seal-proof"),
    path("audit/summary/", logs.SummaryView.as_view(), name="audit-summary"),
    path(
        "audit/policies/<str:audit_policy_id>/back-test/",
        BackTestView.as_view(),
        name="audit-policy-back-test",
    ),
]
