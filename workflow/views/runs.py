"""Runs: lists, one as a timeline, cancel and retry."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar
from uuid import UUID

from django.db.models import QuerySet
from django_filters import FilterSet
from rest_framework.request import Request
from rest_framework.response import Response

from core.access import view
from core.identity.rights import MANAGE_SETTINGS
from core.rest.filtered_lists import FilteredListView
from core.rest.filters import ChoiceFilter, TextFilter, TimeFilter, UUIDFilter
from core.rest.schema import documented
from core.rest.views import ApiView
from workflow import operations, queries
from workflow.models import RunStatus, WorkflowRun
from workflow.views.documents import RunDocument, RunTimelineDocument, answer, run_document, timeline


class RunFilters(FilterSet):
    status = ChoiceFilter(choices=RunStatus.choices, label="Where the run stands.")
    event_type = TextFilter(label="What started it.")
    record_id = UUIDFilter(label="The record it is about.")
    created_at__gte = TimeFilter("created_at", "gte", label="Begun at this time or later.")
    created_at__lt = TimeFilter("created_at", "lt", label="Begun before this time.")


class AllRunFilters(RunFilters):
    workflow = UUIDFilter("workflow_id", label="Of this workflow.")


class RunsView(FilteredListView):
    """Runs of all workflows, the newest first."""

    verbs = {"get": MANAGE_SETTINGS}
    filterset_class: ClassVar[type[FilterSet]] = AllRunFilters
    orderings = {"created_at": "created_at"}
    default_ordering = "-created_at"
    document = RunDocument

    def rows(self) -> QuerySet[Any]:
        return queries.runs().select_related("workflow")

    def documents(self, rows: Sequence[WorkflowRun]) -> list[RunDocument]:
        found = []
        for run in rows:
            document = run_document(run)
            if run.error and not queries.may_read_values(self.actor, run.workflow):
                document["error"] = "Hidden from you."
            found.append(RunDocument(**document))
        return found


class RunsOfWorkflowView(RunsView):
    """Runs of one workflow, the newest first."""

    filterset_class: ClassVar[type[FilterSet]] = RunFilters

    def rows(self) -> QuerySet[Any]:
        workflow = view("workflow", self.actor).get(self.kwargs["pk"])
        return super().rows().filter(workflow_id=workflow.pk)


class _OfRun(ApiView):
    verbs = {"get": MANAGE_SETTINGS, "post": MANAGE_SETTINGS}


class RunView(_OfRun):
    """One run."""

    @documented(response=RunTimelineDocument)
    def get(self, request: Request, run_id: UUID) -> Response:
        """Show a run with its steps."""
        return answer(timeline(self.actor, run_id))


class CancelRunView(_OfRun):
    """Cancel a run."""

    @documented(response=RunTimelineDocument)
    def post(self, request: Request, run_id: UUID) -> Response:
        """End a run that has not ended; what it has done stays."""
        operations.cancel_run(actor=self.actor, run_id=run_id, now=self.now)
        return answer(timeline(self.actor, run_id))


class RetryRunView(_OfRun):
    """Try a run again."""

    @documented(response=RunTimelineDocument, status=202)
    def post(self, request: Request, run_id: UUID) -> Response:
        """Carry a failed run on from the step that failed."""
        operations.retry_run(actor=self.actor, run_id=run_id, now=self.now)
        return answer(timeline(self.actor, run_id), 202)
