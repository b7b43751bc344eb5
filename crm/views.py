"""Endpoints of the CRM's records."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any, ClassVar
from uuid import UUID

from django.db.models import QuerySet
from django.http import HttpResponse
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from core.access import view
from core.kernel.errors import Fault, Invalid
from core.rest.schema import created, documented, record
from core.rest.serializers import StrictSerializer
from core.rest.viewsets import EntityViewSet, read_if_match
from crm import operations
from crm.serializers import (
    AssignInput,
    ConvertInput,
    ConvertOutput,
    DisqualifyInput,
    LoseInput,
    MoveInput,
    NoBody,
    ReopenInput,
)


class AccountViewSet(EntityViewSet):
    """Organizations the company does business with."""

    entity_name = "account"


class ContactViewSet(EntityViewSet):
    """People."""

    entity_name = "contact"


class ProductViewSet(EntityViewSet):
    """What the company sells."""

    entity_name = "product"


class ActivityViewSet(EntityViewSet):
    """Calls, mails, meetings and other touches."""

    entity_name = "activity"


class TaskViewSet(EntityViewSet):
    """Things to do."""

    entity_name = "task"


class NoteViewSet(EntityViewSet):
    """Notes in Markdown."""

    entity_name = "note"


class TagViewSet(EntityViewSet):
    """The catalog of tags. Renaming one renames it on every record; deleting one takes it off."""

    entity_name = "tag"


class LostReasonViewSet(EntityViewSet):
    """Why deals are lost and leads turned down."""

    entity_name = "lost_reason"


class PipelineViewSet(EntityViewSet):
    """Ways of selling. A new pipeline comes with the default stages."""

    entity_name = "pipeline"


class PipelineStageViewSet(EntityViewSet):
    """Steps of pipelines."""

    entity_name = "pipeline_stage"
    put_keeps = frozenset({"required_fields", "allowed_next"})


class DealProductViewSet(EntityViewSet):
    """Lines of deals."""

    entity_name = "deal_product"


class DealContactViewSet(EntityViewSet):
    """Contacts of deals and the parts they play."""

    entity_name = "deal_contact"


class ActivityParticipantViewSet(EntityViewSet):
    """Who takes part in activities."""

    entity_name = "activity_participant"


class _ActionViewSet(EntityViewSet):
    """Shared steps of actions on one record."""

    def _begin(
        self, request: Request, pk: str, shape: type[StrictSerializer]
    ) -> tuple[UUID, dict[str, Any], int | None]:
        """The id of the visible record, the checked body and the version expected.

        Raises: Invalid, NotFound.
        """
        found = self.view.get(pk, self.records().only("pk"))
        body = shape.read(request.data)
        return found.pk, body, read_if_match(request, body.pop("expected_version", None))


class LeadViewSet(_ActionViewSet):
    """People and companies that may become customers."""

    entity_name = "lead"
    action_verbs = {"convert": "update", "qualify": "update", "disqualify": "update", "assign": "update"}

    @documented(request=ConvertInput, optional_body=True, response=ConvertOutput, versioned=True)
    @action(detail=True, methods=["post"])
    def convert(self, request: Request, pk: str) -> Response:
        """Make an account, a contact and a deal of the lead. Again, it answers what the first time made."""
        lead_id, body, version = self._begin(request, pk, ConvertInput)
        options = operations.ConversionOptions(
            account_id=body.get("account"),
            contact_id=body.get("contact"),
            create_deal=body["create_deal"],
            deal_name=body.get("deal_name", ""),
            deal_amount=body.get("deal_amount"),
            close_date=body.get("close_date"),
            pipeline_id=body.get("pipeline"),
            stage_id=body.get("stage"),
            overwrite_source=body["overwrite_source"],
        )
        made = operations.convert_lead(
            actor=self.actor,
            lead_id=lead_id,
            now=self.now,
            options=options,
            expected_version=version,
            dry_run=body["dry_run"],
        )
        return Response(ConvertOutput(made).data)

    @documented(request=NoBody, optional_body=True, response=record("lead"), shaped=True, versioned=True)
    @action(detail=True, methods=["post"])
    def qualify(self, request: Request, pk: str) -> HttpResponse:
        """Make the lead qualified."""
        lead_id, _, version = self._begin(request, pk, NoBody)
        operations.qualify_lead(actor=self.actor, lead_id=lead_id, now=self.now, expected_version=version)
        return self.answer_with(lead_id)

    @documented(
        request=DisqualifyInput, optional_body=True, response=record("lead"), shaped=True, versioned=True
    )
    @action(detail=True, methods=["post"])
    def disqualify(self, request: Request, pk: str) -> HttpResponse:
        """Make the lead unqualified, with a reason."""
        lead_id, body, version = self._begin(request, pk, DisqualifyInput)
        operations.disqualify_lead(
            actor=self.actor,
            lead_id=lead_id,
            now=self.now,
            reason_id=body.get("reason"),
            status_reason=body.get("status_reason", ""),
            expected_version=version,
        )
        return self.answer_with(lead_id)

    @documented(request=AssignInput, response=record("lead"), shaped=True, versioned=True)
    @action(detail=True, methods=["post"])
    def assign(self, request: Request, pk: str) -> HttpResponse:
        """Give the lead to another owner."""
        lead_id, body, version = self._begin(request, pk, AssignInput)
        operations.assign_lead(
            actor=self.actor,
            lead_id=lead_id,
            owner_id=body["owner"],
            now=self.now,
            expected_version=version,
        )
        return self.answer_with(lead_id)


class DealViewSet(_ActionViewSet):
    """Deals, also called opportunities."""

    entity_name = "deal"
    action_verbs = {"move": "update", "win": "update", "lose": "update", "reopen": "update"}
    # A deal does not fall back to its first stage because a client left the stage out.
    put_keeps = frozenset({"owner", "pipeline", "stage", "amount", "amount_source"})

    @documented(request=MoveInput, response=record("deal"), shaped=True, versioned=True)
    @action(detail=True, methods=["post"])
    def move(self, request: Request, pk: str) -> HttpResponse:
        """Put the deal into another stage."""
        deal_id, body, version = self._begin(request, pk, MoveInput)
        operations.move_deal(
            actor=self.actor,
            deal_id=deal_id,
            stage_id=body["stage"],
            now=self.now,
            lost_reason_id=body.get("lost_reason"),
            lost_notes=body.get("lost_notes"),
            expected_version=version,
        )
        return self.answer_with(deal_id)

    @documented(request=NoBody, optional_body=True, response=record("deal"), shaped=True, versioned=True)
    @action(detail=True, methods=["post"])
    def win(self, request: Request, pk: str) -> HttpResponse:
        """Put the deal into its pipeline's won stage."""
        deal_id, _, version = self._begin(request, pk, NoBody)
        operations.win_deal(actor=self.actor, deal_id=deal_id, now=self.now, expected_version=version)
        return self.answer_with(deal_id)

    @documented(request=LoseInput, response=record("deal"), shaped=True, versioned=True)
    @action(detail=True, methods=["post"])
    def lose(self, request: Request, pk: str) -> HttpResponse:
        """Put the deal into its pipeline's lost stage, with a reason."""
        deal_id, body, version = self._begin(request, pk, LoseInput)
        operations.lose_deal(
            actor=self.actor,
            deal_id=deal_id,
            lost_reason_id=body["lost_reason"],
            now=self.now,
            lost_notes=body.get("lost_notes"),
            expected_version=version,
        )
        return self.answer_with(deal_id)

    @documented(request=ReopenInput, optional_body=True, response=record("deal"), shaped=True, versioned=True)
    @action(detail=True, methods=["post"])
    def reopen(self, request: Request, pk: str) -> HttpResponse:
        """Open a closed deal again."""
        deal_id, body, version = self._begin(request, pk, ReopenInput)
        operations.reopen_deal(
            actor=self.actor,
            deal_id=deal_id,
            now=self.now,
            stage_id=body.get("stage"),
            expected_version=version,
        )
        return self.answer_with(deal_id)


class _NestedViewSet(EntityViewSet):
    """The records of one parent, which the path names."""

    parent_name: ClassVar[str]

    @cached_property
    def parent_id(self) -> UUID:
        parents = view(self.parent_name, self.actor)
        parent_id: UUID = parents.get(self.kwargs["parent_pk"], parents.records().only("pk")).pk
        return parent_id

    def check_right(self) -> None:
        super().check_right()
        view(self.parent_name, self.actor).require("read")

    def records(self) -> QuerySet[Any]:
        return super().records().filter(**{self.parent_name: self.parent_id})

    def _create_below(self, request: Request) -> HttpResponse:
        document = request.data
        if isinstance(document, Mapping):
            parent = str(self.parent_id)
            if document.get(self.parent_name, parent) != parent:
                raise Invalid(
                    faults=[Fault(self.parent_name, "differs_from_path", "The path names another record.")]
                )
            document = {**document, self.parent_name: parent}
        values = self.view.read_input(document, partial=False)
        return self._create(values)


class StagesOfPipelineViewSet(_NestedViewSet):
    """The stages of one pipeline."""

    entity_name = "pipeline_stage"
    parent_name = "pipeline"

    @documented(
        request=created("pipeline_stage", below="pipeline"),
        response=record("pipeline_stage"),
        status=201,
        shaped=True,
    )
    def create(self, request: Request, **kwargs: Any) -> HttpResponse:
        """Add a stage to the pipeline."""
        return self._create_below(request)


class ProductsOfDealViewSet(_NestedViewSet):
    """The lines of one deal."""

    entity_name = "deal_product"
    parent_name = "deal"

    @documented(
        request=created("deal_product", below="deal"),
        response=record("deal_product"),
        status=201,
        shaped=True,
    )
    def create(self, request: Request, **kwargs: Any) -> HttpResponse:
        """Add a line to the deal; its amount becomes the sum of its lines."""
        return self._create_below(request)


class ContactsOfDealViewSet(_NestedViewSet):
    """The contacts of one deal."""

    entity_name = "deal_contact"
    parent_name = "deal"

    @documented(
        request=created("deal_contact", below="deal"),
        response=record("deal_contact"),
        status=201,
        shaped=True,
    )
    def create(self, request: Request, **kwargs: Any) -> HttpResponse:
        """Add a contact to the deal; a primary one takes the place of the former."""
        return self._create_below(request)


class ParticipantsOfActivityViewSet(_NestedViewSet):
    """The participants of one activity."""

    entity_name = "activity_participant"
    parent_name = "activity"

    @documented(
        request=created("activity_participant", below="activity"),
        response=record("activity_participant"),
        status=201,
        shaped=True,
    )
    def create(self, request: Request, **kwargs: Any) -> HttpResponse:
        """Add a participant to the activity."""
        return self._create_below(request)


class HistoryOfDealViewSet(_NestedViewSet):
    """The stages one deal went through."""

    entity_name = "deal_stage_history"
    parent_name = "deal"


class ActivitiesOfDealViewSet(_NestedViewSet):
    """The activities of one deal."""

    entity_name = "activity"
    parent_name = "deal"

    @documented(
        request=created("activity", below="deal"), response=record("activity"), status=201, shaped=True
    )
    def create(self, request: Request, **kwargs: Any) -> HttpResponse:
        """Add an activity to the deal."""
        return self._create_below(request)
