"""`/equipment-inventory/`: a list that is no entity, and the long work that starts from it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django_filters import FilterSet
from pydantic import BaseModel, ConfigDict
from rest_framework.request import Request
from rest_framework.response import Response

from core.access import view
from core.jobs import enqueue
from core.rest.filtered_lists import FilteredListView
from core.rest.filters import ChoiceFilter, TextFilter
from core.rest.jobs import JobDocument, accepted
from core.rest.schema import documented
from core.rest.views import MEMBER
from tests.seams.models import Equipment
from tests.seams.tasks import INSPECTION


class InventoryLine(BaseModel):
    """A thing and where it is."""

    model_config = ConfigDict(extra="forbid")

    id: UUID
    name: str
    region: str


class InventoryFilters(FilterSet):
    region = ChoiceFilter(choices=Equipment.Region.choices, label="Where it is.")
    name__startswith = TextFilter("name", "istartswith", label="How its name begins.")


class InventoryView(FilteredListView):
    """What there is and where, by name."""

    verbs = {"get": MEMBER, "post": MEMBER}
    filterset_class = InventoryFilters
    orderings = {"name": "name", "region": "region"}
    default_ordering = "name"
    document = InventoryLine

    def rows(self) -> QuerySet[Any]:
        return view("equipment", self.actor).records()

    def documents(self, rows: Sequence[Any]) -> list[InventoryLine]:
        return [InventoryLine(id=row.pk, name=row.name, region=row.region) for row in rows]

    @documented(response=JobDocument, status=202)
    def post(self, request: Request) -> Response:
        """Inspect everything."""
        job = enqueue(kind=INSPECTION, payload={}, now=self.now, subject="All equipment")
        return accepted(request, self.actor, job)
