"""Reassignment, the rule tester, and the history of assignments."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, ClassVar
from uuid import UUID

from django.db.models import QuerySet
from django_filters import FilterSet
from pydantic import BaseModel, ConfigDict, Field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from core.access import view
from core.kernel.errors import Fault, Forbidden, Invalid
from core.rest.filtered_lists import FilteredListView
from core.rest.filters import ChoiceFilter, TimeFilter, UUIDFilter
from core.rest.jobs import JobDocument, accepted
from core.rest.schema import documented
from core.rest.serializers import StrictSerializer
from core.rest.views import ApiView
from territories import reassignment
from territories.explaining import explain_record
from territories.models import AssignmentReason, TerritoryAssignment
from territories.queries import scoped_entities
from territories.rights import MANAGE_TERRITORIES


class ReassignInput(StrictSerializer):
    preview = serializers.BooleanField(required=False, default=True)
    entity_types = serializers.ListField(
        child=serializers.CharField(max_length=64), required=False, min_length=1, max_length=20
    )
    territory = serializers.UUIDField(required=False, allow_null=True)


class ExplainInput(StrictSerializer):
    entity_type = serializers.CharField(max_length=64)
    record_id = serializers.UUIDField()


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid")


class MoveDocument(_Part):
    """Records of one kind that one rule moves from one territory to another."""

    entity_type: str
    from_territory: UUID | None
    to_territory: UUID
    rule: UUID
    count: int


class SampleDocument(_Part):
    """One record that would move."""

    entity_type: str
    record: UUID
    from_territory: UUID | None
    to_territory: UUID | None
    rule: UUID | None


class PreviewDocument(_Part):
    """What a reassignment would do: `moved` records in all, `unchanged` are where their rule wants them, `unmatched` meet no
    rule and stay."""

    moved: int
    unchanged: int
    unmatched: int
    moves: list[MoveDocument]
    sample: list[SampleDocument]
    broken_rules: list[UUID] = Field(description="Rules whose conditions no longer fit the fields there are.")


class RuleVerdictDocument(_Part):
    """Whether one rule fits a record, and why. `decides`: it is the first that fits."""

    rule: UUID
    name: str
    territory: UUID
    priority: int
    holds: bool
    decides: bool
    broken: bool = False
    explanation: dict[str, Any] | None


class ExplainDocument(_Part):
    """Where the rules put a record. Null: no rule fits, or the record is pinned."""

    entity_type: str
    record_id: UUID
    territory: UUID | None
    pinned: bool
    to_territory: UUID | None
    rules: list[RuleVerdictDocument]


class ReassignView(ApiView):
    """All records by the rules of today."""

    verbs = {"post": MANAGE_TERRITORIES}

    @documented(request=ReassignInput, response=PreviewDocument, also={202: JobDocument}, optional_body=True)
    def post(self, request: Request) -> Response:
        """Preview which records the rules would move, or with `preview` false move them as a job."""
        asked = ReassignInput.read(request.data)
        kinds = self._kinds(asked.get("entity_types"))
        within = asked.get("territory")
        if within is not None and not view("territory", self.actor).records().filter(pk=within).exists():
            raise Invalid(faults=[Fault("territory", "does_not_exist", "There is no such record.")])
        if not asked["preview"]:
            if self.actor.user_id is None:
                raise Forbidden("A reassignment is asked for by a person.")
            job_id = reassignment.start(kinds, within, self.actor, now=self.now)
            return accepted(request, self.actor, job_id)
        found = reassignment.preview(self.actor, kinds, within, now=self.now)
        document = PreviewDocument(
            moved=found.moved,
            unchanged=found.unchanged,
            unmatched=found.unmatched,
            moves=[MoveDocument(**vars(move)) for move in found.moves],
            sample=[
                SampleDocument(
                    entity_type=kind,
                    record=match.record_id,
                    from_territory=match.territory_id,
                    to_territory=match.target_id,
                    rule=match.rule_id,
                )
                for kind, match in found.sample
            ],
            broken_rules=found.broken_rules,
        )
        return Response(document.model_dump(mode="json"))

    def _kinds(self, named: Sequence[str] | None) -> list[str]:
        open_kinds = [entity.name for entity in scoped_entities() if view(entity, self.actor).can("update")]
        for place, name in enumerate(named or ()):
            if name not in open_kinds:
                detail = f"Choose among: {', '.join(open_kinds)}."
                raise Invalid(faults=[Fault(f"entity_types.{place}", "not_a_choice", detail)])
        chosen = [name for name in open_kinds if named is None or name in named]
        if not chosen:
            raise Forbidden("Your role may not update records that have territories.")
        return chosen


class ExplainView(ApiView):
    """Why a record is where it is."""

    verbs = {"post": MANAGE_TERRITORIES}

    @documented(request=ExplainInput, response=ExplainDocument)
    def post(self, request: Request) -> Response:
        """Ask each rule about one record: which decides, and why the others do not."""
        asked = ExplainInput.read(request.data)
        if asked["entity_type"] not in {entity.name for entity in scoped_entities()}:
            names = ", ".join(entity.name for entity in scoped_entities())
            raise Invalid(faults=[Fault("entity_type", "not_a_choice", f"Choose one of: {names}.")])
        found = explain_record(self.actor, asked["entity_type"], asked["record_id"], now=self.now)
        document = ExplainDocument(
            entity_type=asked["entity_type"],
            record_id=asked["record_id"],
            territory=found.territory_id,
            pinned=found.pinned,
            to_territory=found.target_id,
            rules=[RuleVerdictDocument(**vars(verdict)) for verdict in found.verdicts],
        )
        return Response(document.model_dump(mode="json"))


class AssignmentDocument(_Part):
    """A record came into a territory."""

    id: UUID
    at: datetime
    entity_type: str
    record_id: UUID
    territory: UUID | None
    previous_territory: UUID | None
    rule: UUID | None
    owner: UUID | None
    by: UUID | None
    reason: str


class AssignmentFilters(FilterSet):
    record_id = UUIDFilter(label="Of this record.")
    territory = UUIDFilter("territory_id", label="Into this territory.")
    reason = ChoiceFilter(choices=AssignmentReason.choices, label="Why.")
    at__gte = TimeFilter("created_at", "gte", label="At this time or later.")
    at__lt = TimeFilter("created_at", "lt", label="Before this time.")


class AssignmentsView(FilteredListView):
    """What came into which territory, when and why, newest first."""

    verbs = {"get": MANAGE_TERRITORIES}
    filterset_class = AssignmentFilters
    orderings = {"at": "id"}
    default_ordering = "-at"
    document: ClassVar[type[BaseModel]] = AssignmentDocument

    def rows(self) -> QuerySet[TerritoryAssignment]:
        """Of records that the caller sees."""
        rows: QuerySet[TerritoryAssignment] = TerritoryAssignment.objects.none()
        found = None
        for entity in scoped_entities():
            seen = view(entity, self.actor)
            if not seen.can("read"):
                continue
            of_kind = TerritoryAssignment.objects.filter(entity_type=entity.name)
            if self.actor.rights.record_scope != "all":
                of_kind = of_kind.filter(record_id__in=seen.records().values("pk"))
            found = of_kind if found is None else found | of_kind
        return rows if found is None else found

    def documents(self, rows: Sequence[TerritoryAssignment]) -> list[AssignmentDocument]:
        return [
            AssignmentDocument(
                id=row.pk,
                at=row.created_at,
                entity_type=row.entity_type,
                record_id=row.record_id,
                territory=row.territory_id,
                previous_territory=row.previous_territory_id,
                rule=row.rule_id,
                owner=row.owner_id,
                by=row.created_by_id,
                reason=row.reason,
            )
            for row in rows
        ]
