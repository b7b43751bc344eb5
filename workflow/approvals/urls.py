"""Routes of approvals."""

from __future__ import annotations

from django.urls import path

from workflow.approvals.views import requests

_ALL = "workflow/approval-requests/"
_ONE = f"{_ALL}<uuid:request_id>/"

urlpatterns = [
    path(
        "workflow/approval-processes/<str:pk>/simulate/",
        requests.SimulateView.as_view(),
        name="approval-process-simulate",
    ),
    path(_ALL, requests.RequestsView.as_view(), name="approval-requests"),
    path(f"{_ALL}bulk-approve/", requests.BulkApproveView.as_view(), name="approval-requests-bulk-approve"),
    path(_ONE, requests.RequestView.as_view(), name="approval-request"),
    path(f"{_ONE}history/", requests.HistoryView.as_view(), name="approval-request-history"),
    path(f"{_ONE}approve/", requests.ApproveView.as_view(), name="approval-request-approve"),
    path(f"{_ONE}reject/", requests.RejectView.as_view(), name="approval-request-reject"),
    path(f"{_ONE}recall/", requests.RecallView.as_view(), name="approval-request-recall"),
    path(f"{_ONE}resubmit/", requests.ResubmitView.as_view(), name="approval-request-resubmit"),
    path(f"{_ONE}escalate/", requests.EscalateView.as_view(), name="approval-request-escalate"),
    path(f"{_ONE}comment/", requests.CommentView.as_view(), name="approval-request-comment"),
    path(f"{_ONE}delegate/", requests.DelegateView.as_view(), name="approval-request-delegate"),
    path(f"{_ONE}reassign/", requests.ReassignView.as_view(), name="approval-request-reassign"),
    path("workflow/approval-inbox/", requests.InboxView.as_view(), name="approval-inbox"),
    path("workflow/approval-inbox/counts/", requests.InboxCountsView.as_view(), name="approval-inbox-counts"),
]
