"""Routes of workflows."""

from __future__ import annotations

from django.urls import path

from workflow import views

_ONE = "workflows/<str:pk>/"
_RUN = "workflow-runs/<uuid:run_id>/"

urlpatterns = [
    path("workflows/action-types/", views.ActionTypesView.as_view(), name="workflow-action-types"),
    path("workflows/event-types/", views.EventTypesView.as_view(), name="workflow-event-types"),
    path(f"{_ONE}execute/", views.ExecuteView.as_view(), name="workflow-execute"),
    path(f"{_ONE}runs/", views.RunsOfWorkflowView.as_view(), name="workflow-runs-of-one"),
    path(f"{_ONE}test/", views.TestView.as_view(), name="workflow-test"),
    path(f"{_ONE}why-not/", views.WhyNotView.as_view(), name="workflow-why-not"),
    path(f"{_ONE}stats/", views.StatsView.as_view(), name="workflow-stats"),
    path(f"{_ONE}webhook-secret/", views.WebhookSecretView.as_view(), name="workflow-webhook-secret"),
    path("workflow-runs/", views.RunsView.as_view(), name="workflow-runs"),
    path(_RUN, views.RunView.as_view(), name="workflow-run"),
    path(f"{_RUN}cancel/", views.CancelRunView.as_view(), name="workflow-run-cancel"),
    path(f"{_RUN}retry/", views.RetryRunView.as_view(), name="workflow-run-retry"),
]
