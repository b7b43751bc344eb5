"""Requests: submitting, deciding, handing over; the inbox; what would happen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar
from uuid import UUID

from django.db.models import QuerySet
from django_filters import FilterSet
from rest_framework.request import Request
from rest_framework.response import Response

from core.access import view
from core.identity.rights import MANAGE_SETTINGS
from core.kernel.errors import DomainError, NotFound
from core.rest.filtered_lists import FilteredListView
from core.rest.filters import ChoiceFilter, TextFilter, TimeFilter, UUIDFilter
from core.rest.schema import documented
from core.rest.views import MEMBER, ApiView
from workflow.approvals import operations, queries, routing
from workflow.approvals.models import ApprovalEvent, ApprovalRequest, ApprovalTask, RequestStatus
from workflow.approvals.operations.processes import document_of
from workflow.approvals.operations.requests import submittable
from workflow.approvals.routing import Subject
from workflow.approvals.views.documents import (
    ApprovalHistoryDocument,
    ApprovalReassignInput,
    ApprovalRequestDocument,
    BulkDocument,
    BulkInput,
    BulkOutcomeDocument,
    CommentInput,
    DelegateInput,
    InboxCountsDocument,
    InboxDocument,
    SayInput,
    SimulateInput,
    SimulationDocument,
    SubmitInput,
    event_document,
    planned_document,
    request_documents,
)
from workflow.views.documents import answer, read_body


class RequestFilters(FilterSet):
    status = ChoiceFilter(choices=RequestStatus.choices, label="Where the request stands.")
    process = UUIDFilter("process_id", label="Of this process.")
    entity_type = TextFilter(label="The kind of record.")
    entity_id = UUIDFilter("record_id", label="The record it is about.")
    submitted_by = UUIDFilter("submitted_by_id", label="Who submitted it.")
    created_at__gte = TimeFilter("created_at", "gte", label="Submitted at this time or later.")
    created_at__lt = TimeFilter("created_at", "lt", label="Submitted before this time.")


class RequestsView(FilteredListView):
    """Requests of one's own, those one is asked about, and all of them for who manages settings; the newest first."""

    verbs = {"get": MEMBER, "post": MEMBER}
    filterset_class: ClassVar[type[FilterSet]] = RequestFilters
    orderings = {"created_at": "created_at"}
    default_ordering = "-created_at"
    document = ApprovalRequestDocument

    def rows(self) -> QuerySet[Any]:
        return queries.seen_by(self.actor)

    def documents(self, rows: Sequence[ApprovalRequest]) -> list[ApprovalRequestDocument]:
        return request_documents(rows)

    @documented(request=SubmitInput, response=ApprovalRequestDocument, status=201)
    def post(self, request: Request) -> Response:
        """Submit a record to a process."""
        asked = read_body(SubmitInput, request.data)
        made = operations.submit(
            actor=self.actor,
            process_id=asked.process,
            entity_type=asked.entity_type,
            record_id=asked.entity_id,
            comment=asked.comment,
            now=self.now,
        )
        return answer(request_documents([made])[0], 201)


class _OfRequest(ApiView):
    verbs = {"get": MEMBER, "post": MEMBER}

    def done(self, operation: Callable[..., ApprovalRequest], request_id: UUID, **values: Any) -> Response:
        made = operation(actor=self.actor, request_id=request_id, now=self.now, **values)
        return answer(request_documents([made])[0])

    def found(self, request_id: UUID) -> ApprovalRequest:
        """Raises: NotFound."""
        found: ApprovalRequest | None = queries.seen_by(self.actor).filter(pk=request_id).first()
        if found is None:
            raise NotFound()
        return found


class RequestView(_OfRequest):
    """One request."""

    @documented(response=ApprovalRequestDocument)
    def get(self, request: Request, request_id: UUID) -> Response:
        """Show a request with the parts of its approvers."""
        return answer(request_documents([self.found(request_id)])[0])


class HistoryView(_OfRequest):
    """What happened to a request."""

    @documented(response=ApprovalHistoryDocument)
    def get(self, request: Request, request_id: UUID) -> Response:
        """List what happened, the first thing first."""
        found = self.found(request_id)
        events = ApprovalEvent.objects.filter(request_id=found.pk).order_by("pk")
        return answer(ApprovalHistoryDocument(events=[event_document(event) for event in events]))


class ApproveView(_OfRequest):
    """Approve a request."""

    @documented(request=CommentInput, response=ApprovalRequestDocument, optional_body=True)
    def post(self, request: Request, request_id: UUID) -> Response:
        """Agree, as one of those who are asked."""
        asked = read_body(CommentInput, request.data)
        return self.done(operations.approve, request_id, comment=asked.comment)


class RejectView(_OfRequest):
    """Reject a request."""

    @documented(request=CommentInput, response=ApprovalRequestDocument, optional_body=True)
    def post(self, request: Request, request_id: UUID) -> Response:
        """Disagree, as one of those who are asked."""
        asked = read_body(CommentInput, request.data)
        return self.done(operations.reject, request_id, comment=asked.comment)


class RecallView(_OfRequest):
    """Recall a request."""

    @documented(request=CommentInput, response=ApprovalRequestDocument, optional_body=True)
    def post(self, request: Request, request_id: UUID) -> Response:
        """Take a request back that is not decided."""
        asked = read_body(CommentInput, request.data)
        return self.done(operations.recall, request_id, comment=asked.comment)


class ResubmitView(_OfRequest):
    """Submit a request again."""

    @documented(request=CommentInput, response=ApprovalRequestDocument, optional_body=True)
    def post(self, request: Request, request_id: UUID) -> Response:
        """Ask again after the request was sent back."""
        asked = read_body(CommentInput, request.data)
        return self.done(operations.resubmit, request_id, comment=asked.comment)


class EscalateView(_OfRequest):
    """Escalate a request."""

    @documented(request=CommentInput, response=ApprovalRequestDocument, optional_body=True)
    def post(self, request: Request, request_id: UUID) -> Response:
        """Raise a request to the next level of its chain without waiting."""
        asked = read_body(CommentInput, request.data)
        return self.done(operations.escalate, request_id, comment=asked.comment)


class CommentView(_OfRequest):
    """Comment on a request."""

    @documented(request=SayInput, response=ApprovalRequestDocument)
    def post(self, request: Request, request_id: UUID) -> Response:
        """Say something that stays in the history."""
        asked = read_body(SayInput, request.data)
        return self.done(operations.comment_on, request_id, comment=asked.comment)


class DelegateView(_OfRequest):
    """Delegate a request."""

    @documented(request=DelegateInput, response=ApprovalRequestDocument)
    def post(self, request: Request, request_id: UUID) -> Response:
        """Give one's own part in the open step to another member."""
        asked = read_body(DelegateInput, request.data)
        return self.done(operations.delegate, request_id, to=asked.to, comment=asked.comment)


class ReassignView(_OfRequest):
    """Reassign a request."""

    verbs = {"post": MANAGE_SETTINGS}

    @documented(request=ApprovalReassignInput, response=ApprovalRequestDocument)
    def post(self, request: Request, request_id: UUID) -> Response:
        """Give somebody's part in the open step to another member."""
        asked = read_body(ApprovalReassignInput, request.data)
        return self.done(
            operations.reassign, request_id, task_id=asked.task, to=asked.to, comment=asked.comment
        )


class BulkApproveView(ApiView):
    """Approve several requests."""

    verbs = {"post": MEMBER}

    @documented(request=BulkInput, response=BulkDocument)
    def post(self, request: Request) -> Response:
        """Agree to each of the requests for itself; the answer says what became of each."""
        asked = read_body(BulkInput, request.data)
        found = operations.approve_many(
            actor=self.actor, request_ids=asked.ids, comment=asked.comment, now=self.now
        )
        results = [
            BulkOutcomeDocument(id=key, status="", error_code=item.code, error=item.detail)
            if isinstance(item, DomainError)
            else BulkOutcomeDocument(id=key, status=item.status, error_code="", error="")
            for key, item in found.items()
        ]
        return answer(BulkDocument(results=results))


class InboxFilters(FilterSet):
    process = UUIDFilter("request__process_id", label="Of this process.")
    entity_type = TextFilter("request__entity_type", label="The kind of record.")


class InboxView(FilteredListView):
    """What waits for the caller's approval, what came last first."""

    verbs = {"get": MEMBER}
    filterset_class: ClassVar[type[FilterSet]] = InboxFilters
    orderings = {"created_at": "created_at"}
    default_ordering = "-created_at"
    document = InboxDocument

    def rows(self) -> QuerySet[Any]:
        return queries.inbox(self.actor).select_related("request")

    def documents(self, rows: Sequence[ApprovalTask]) -> list[InboxDocument]:
        requests = request_documents([task.request for task in rows])
        return [
            InboxDocument(task=task.pk, asked_at=task.created_at, request=document)
            for task, document in zip(rows, requests, strict=True)
        ]


class InboxCountsView(ApiView):
    """How much waits for the caller's approval."""

    verbs = {"get": MEMBER}

    @documented(response=InboxCountsDocument)
    def get(self, request: Request) -> Response:
        """Count what waits, and what waits too long."""
        found = queries.count_inbox(self.actor, now=self.now)
        return answer(InboxCountsDocument(open=found.open, overdue=found.overdue))


class SimulateView(ApiView):
    """What a process would do."""

    verbs = {"post": MEMBER}

    @documented(request=SimulateInput, response=SimulationDocument)
    def post(self, request: Request, pk: str) -> Response:
        """Say which steps a record would go through, and who would be asked, if the caller submitted it."""
        asked = read_body(SimulateInput, request.data)
        found = view("approval_process", self.actor).get(pk)
        process = submittable(self.actor, found.pk, found.entity_type, asked.entity_id)
        assert self.actor.user_id is not None  # noqa: S101 - members are people
        subject = Subject(self.actor.company_id, process.entity_type, asked.entity_id, self.actor.user_id)
        applies = routing.holds(subject, process.entry_condition, now=self.now)
        steps = queries.simulate(subject, document_of(process), now=self.now)
        return answer(SimulationDocument(applies=applies, steps=[planned_document(item) for item in steps]))
