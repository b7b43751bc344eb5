"""Routes of reports."""

from __future__ import annotations

from django.urls import path

from analytics.reports.views import dashboards, files, reports

_ONE = "analytics/reports/<str:pk>/"

urlpatterns = [
    path("analytics/reports/fields/", reports.FieldsView.as_view(), name="report-fields"),
    path("analytics/reports/preview/", reports.PreviewView.as_view(), name="report-preview"),
    path(f"{_ONE}run/", reports.RunView.as_view(), name="report-run"),
    path(f"{_ONE}drill/", reports.DrillView.as_view(), name="report-drill"),
    path(f"{_ONE}runs/", reports.RunsView.as_view(), name="report-runs"),
    path(f"{_ONE}runs/<str:run_id>/download/", files.DownloadView.as_view(), name="report-download"),
    path(f"{_ONE}chart/", reports.ChartView.as_view(), name="report-chart"),
    path("analytics/dashboards/<str:pk>/run/", dashboards.RunView.as_view(), name="dashboard-run"),
]
