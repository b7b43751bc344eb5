"""Routes of workflows."""

from __future__ import annotations

from django.urls import path

from workflow.views import runs, workflows

_ONE = "workflows/<str:pk>/"
_RUN = "workflow-runs/<uuid:run_id>/"

urlpatterns = [
    path("workflows/action-types/", workflows.ActionTypesView.as_view(), name="workflow-action-types"),
    path("workflows/event-types/", workflows.EventTypesView.as_view(), name="workflow-event-types"),
    path(f"{_ONE}execute/", workflows.ExecuteView.as_view(), name="workflow-execute"),
    path(f"{_ONE}runs/", runs.RunsOfWorkflowView.as_view(), name="workflow-runs-of-one"),
    path(f"{_ONE}test/", workflows.TestView.as_view(), name="workflow-test"),
    path(f"{_ONE}why-not/", workflows.WhyNotView.as_view(), name="workflow-why-not"),
    path(f"{_ONE}stats/", workflows.StatsView.as_view(), name="workflow-stats"),
    path(f"{_ONE}webhook-secret/", workflows.WebhookSecretView.as_view(), name="workflow-webhook-secret"),
    path("workflow-runs/", runs.RunsView.as_view(), name="workflow-runs"),
    path(_RUN, runs.RunView.as_view(), name="workflow-run"),
    path(f"{_RUN}cancel/", runs.CancelRunView.as_view(), name="workflow-run-cancel"),
    path(f"{_RUN}retry/", runs.RetryRunView.as_view(), name="workflow-run-retry"),
]
