"""Workflows beside what the registry gives them: starting, testing, reasons, figures, catalogs."""

from __future__ import annotations

from dataclasses import asdict
from datetime import timedelta
from uuid import UUID

from rest_framework.request import Request
from rest_framework.response import Response

from core.access import EntityView, view
from core.conditions import json_schema
from core.identity.rights import MANAGE_SETTINGS
from core.kernel.errors import Fault, Forbidden, Invalid
from core.rest.schema import documented
from core.rest.views import MEMBER, ApiView
from core.tenancy.actors import Actor
from workflow import operations, queries
from workflow.action_types.webhooks import secrets_of
from workflow.event_types import event_types
from workflow.models import Workflow
from workflow.operations.starting import runs_of
from workflow.registries import ACTION_TYPES, ControlType
from workflow.views.documents import (
    ActionTypeDocument,
    ActionTypesDocument,
    EventTypeDocument,
    EventTypesDocument,
    ExecuteDocument,
    ExecuteInput,
    MatchDocument,
    PlanDocument,
    ReasonDocument,
    SecretDocument,
    StatsDocument,
    TestDocument,
    TestInput,
    WhyNotDocument,
    answer,
    explained,
    plan_documents,
    read_body,
)

SHOWN_MATCHES = 200
PREVIEWED_MATCHES = 20


# --- catalogs --------------------------------------------------------------------------------------------------


class ActionTypesView(ApiView):
    """What workflows can do, each with the JSON Schema of its payload."""

    verbs = {"get": MEMBER}

    @documented(response=ActionTypesDocument)
    def get(self, request: Request) -> Response:
        """List the kinds of actions."""
        found = [
            ActionTypeDocument(
                name=kind.name,
                label=kind.label,
                description=kind.description,
                payload_schema=kind.payload.model_json_schema(),
                branches=list(kind.branches) if isinstance(kind, ControlType) else [],
                leaves_database=not isinstance(kind, ControlType) and kind.leaves_database,
                needs_record=not isinstance(kind, ControlType) and kind.needs_record,
            )
            for kind in ACTION_TYPES
        ]
        return answer(ActionTypesDocument(action_types=found, condition_schema=json_schema()))


class EventTypesView(ApiView):
    """What can start a workflow."""

    verbs = {"get": MEMBER}

    @documented(response=EventTypesDocument)
    def get(self, request: Request) -> Response:
        """List the events."""
        found = [EventTypeDocument(**asdict(item)) for item in event_types().values()]
        return answer(EventTypesDocument(event_types=found))


# --- one workflow ----------------------------------------------------------------------------------------------


class _OfWorkflow(ApiView):
    """Something about one workflow, for those who manage settings."""

    verbs = {"get": MANAGE_SETTINGS, "post": MANAGE_SETTINGS}

    @property
    def workflows(self) -> EntityView:
        return view("workflow", self.actor)

    def workflow(self, pk: str) -> Workflow:
        found: Workflow = self.workflows.get(pk)
        return found


class ExecuteView(_OfWorkflow):
    """Start a workflow by hand."""

    @documented(request=ExecuteInput, response=ExecuteDocument, status=202, also={200: ExecuteDocument})
    def post(self, request: Request, pk: str) -> Response:
        """Start the workflow on records, or say what it would do."""
        asked = read_body(ExecuteInput, request.data)
        if not asked.dry_run:
            made = operations.execute_workflow(
                actor=self.actor, workflow_id=pk, record_ids=asked.record_ids, now=self.now
            )
            return answer(ExecuteDocument(dry_run=False, run_ids=made, plans=[]), 202)
        workflow = self.workflow(pk)
        refuse_values(self.actor, workflow)
        if asked.record_ids and workflow.entity_type:
            operations.refuse_unseen(self.actor, workflow.entity_type, asked.record_ids)
        targets: list[UUID | None] = list(asked.record_ids[: queries.PLANNED]) or [None]
        plans = [
            PlanDocument(record_id=item, actions=plan_documents(queries.plan(workflow, item, now=self.now)))
            for item in targets
        ]
        return answer(ExecuteDocument(dry_run=True, run_ids=[], plans=plans))


def refuse_values(actor: Actor, workflow: Workflow) -> None:
    """Raises: Forbidden for who may not see what whoever it runs as sees."""
    if not queries.may_read_values(actor, workflow):
        raise Forbidden("It runs as somebody else, whose records you may not see.", code="runs_as_other")


class TestView(_OfWorkflow):
    """Try a workflow on what has happened already."""

    @documented(request=TestInput, response=TestDocument, optional_body=True)
    def post(self, request: Request, pk: str) -> Response:
        """Say on which past events the workflow would have started, and what it would have done."""
        asked = read_body(TestInput, request.data)
        workflow = self.workflow(pk)
        refuse_values(self.actor, workflow)
        since = self.now - timedelta(days=asked.days)
        events, verdicts = queries.back_test(workflow, since=since, limit=asked.limit)
        started = 0
        if asked.start:
            operations.get_startable(self.actor, workflow.pk)
            made = operations.start_runs(self.actor.company_id, runs_of(verdicts, now=self.now), now=self.now)
            started = len(made)
        matches = [
            MatchDocument(
                trigger=item.armed.trigger.key,
                event_type=item.armed.trigger.event_type,
                log_id=item.change.log_id,
                at=item.change.at,
                record_id=item.change.entity_id,
                actions=plan_documents(queries.plan(workflow, item.change.entity_id, now=self.now))
                if place < PREVIEWED_MATCHES
                else [],
            )
            for place, item in enumerate(verdicts[:SHOWN_MATCHES])
        ]
        return answer(TestDocument(events=events, matched=len(verdicts), matches=matches, started=started))


class WhyNotView(_OfWorkflow):
    """Why a workflow did not run on a record."""

    @documented(
        response=WhyNotDocument,
        query={"record": {"type": "string", "format": "uuid"}},
        required_query=("record",),
    )
    def get(self, request: Request, pk: str) -> Response:
        """Say what kept the workflow from running on a record."""
        workflow = self.workflow(pk)
        refuse_values(self.actor, workflow)
        try:
            record_id = UUID(request.query_params.get("record", ""))
        except ValueError:
            raise Invalid(faults=[Fault("record", "not_an_id", "An id (UUID) is expected.")]) from None
        found = queries.why_not(self.actor, workflow, record_id, now=self.now)
        return answer(
            WhyNotDocument(
                reasons=[
                    ReasonDocument(
                        code=item.code,
                        detail=item.detail,
                        trigger=item.trigger,
                        event=item.event,
                        log_id=item.log_id,
                        run_id=item.run_id,
                        explanation=explained(item.explanation),
                    )
                    for item in found
                ]
            )
        )


class StatsView(_OfWorkflow):
    """Figures of a workflow."""

    @documented(response=StatsDocument)
    def get(self, request: Request, pk: str) -> Response:
        """Runs, success rate, times and the last error of the last 30 days."""
        workflow = self.workflow(pk)
        found = asdict(queries.stats_of([workflow.pk], now=self.now)[workflow.pk])
        if not queries.may_read_values(self.actor, workflow) and found["last_error"]:
            found["last_error"] = "Hidden from you."
        return answer(StatsDocument(**found))


class WebhookSecretView(_OfWorkflow):
    """What the workflow's calls are signed with."""

    @documented(response=SecretDocument, secret=True)
    def get(self, request: Request, pk: str) -> Response:
        """Show the secret that proves a call to be this workflow's."""
        return answer(SecretDocument(secrets=secrets_of(self.workflow(pk).pk)))
