"""The tree beside what the registry serves: parents, the nested hierarchy, the whole tree, figures, removal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from django.http import HttpResponse
from pydantic import BaseModel, ConfigDict, Field
from rest_framework.request import Request
from rest_framework.response import Response

from core.access import view
from core.conditions.periods import Relative, TooFar
from core.entities import entities
from core.identity.queries import get_company
from core.kernel.errors import Fault, Invalid
from core.rest.declarations import Operation, standard
from core.rest.schema import documented, page
from core.rest.views import ApiView
from core.rest.viewsets import EntityViewSet, read_if_match
from core.tenancy.actors import Actor
from territories.metrics import Node, add_figures, forest, own_and_rolled_up
from territories.models import Territory
from territories.operations import remove_territory
from territories.registries import Span

DEFAULT_PERIOD = "this_year"
MAX_NODES = 20_000
# What a node of a tree shows of its territory.
_SHOWN = (
    *("id", "name", "code", "type", "slug", "parent_territory", "hierarchy_level", "hierarchy_path"),
    *("manager", "rollup_metrics", "is_active"),
)
_PERIOD = {
    "type": "string",
    "description": "The time of what was won and of new leads: a relative date such as `this_quarter` or `last_n_days:90`; "
    f"{DEFAULT_PERIOD} unless said otherwise.",
}
_SWITCH = {"type": "string", "enum": ["true", "false"]}


class TerritoryNode(BaseModel):
    """A territory in its tree. `own` and `rolled_up` are its figures, where they are asked for."""

    model_config = ConfigDict(extra="forbid")

    id: UUID
    name: str
    code: str
    type: str
    slug: str
    parent_territory: UUID | None
    hierarchy_level: int
    hierarchy_path: str
    manager: UUID | None
    rollup_metrics: bool
    is_active: bool
    own: dict[str, Any] | None = None
    rolled_up: dict[str, Any] | None = None
    children: list[TerritoryNode]


class HierarchyDocument(BaseModel):
    """A territory with all below it, and what is above it, from the root down."""

    model_config = ConfigDict(extra="forbid")

    ancestors: list[dict[str, Any]]
    territory: TerritoryNode


class TreeDocument(BaseModel):
    """Trees of territories. Amounts are in `currency`."""

    model_config = ConfigDict(extra="forbid")

    currency: str | None = None
    roots: list[TerritoryNode]


class MetricsDocument(BaseModel):
    """Figures of one territory; those that the caller may not ask for are null."""

    model_config = ConfigDict(extra="forbid")

    territory: UUID
    period: str
    since: str
    until: str
    currency: str
    rollup: bool
    metrics: dict[str, Any] = Field(
        description="Own figures, or with `rollup=true` those of all below it too."
    )


class TerritoryViewSet(EntityViewSet):
    """Parts of the market, as a tree."""

    entity_name = "territory"

    @classmethod
    def declared(cls, name: str) -> Operation | None:
        found = super().declared(name)
        if name != "destroy" or found is None:
            return found
        one = standard(entities[cls.entity_name], name)
        assert one is not None  # noqa: S101 - every entity has it
        where = {
            "type": "string",
            "format": "uuid",
            "description": "Where what is below it and its records go.",
        }
        return Operation(
            status=204,
            summary=one.summary,
            versioned=True,
            errors=one.errors,
            query={"reparent_to": where},
        )

    def destroy(self, request: Request, pk: str, **kwargs: Any) -> HttpResponse:
        """Remove it. With something below it or with records, only when `reparent_to` says where they go."""
        target = request.query_params.get("reparent_to")
        if target is None:
            return super().destroy(request, pk, **kwargs)
        self.view.require("delete")
        territory = self.view.get(pk, verb="delete")
        expected = read_if_match(request)
        if expected is not None and expected != territory.version:
            # Refused as any stale removal is.
            return super().destroy(request, pk, **kwargs)
        reparent_to = _existing(self.actor, "reparent_to", target)
        remove_territory(
            actor=self.actor, territory_id=territory.pk, reparent_to=reparent_to.pk, now=self.now
        )
        return Response(status=204)


class _OfTerritory(ApiView):
    """Something about one territory, for whoever may read them."""

    verbs = {"get": "read:territory"}

    def check_right(self) -> None:
        view("territory", self.actor).require("read")

    def territory(self, pk: str) -> Territory:
        found: Territory = view("territory", self.actor).get(pk)
        return found


class ParentsView(_OfTerritory):
    """What is above a territory."""

    @documented(response=page("territory"), summary="List the parents of a territory, from the root down")
    def get(self, request: Request, territory_id: str) -> Response:
        parents = self.territory(territory_id).get_all_parents()
        results = [row[0] for row in view("territory", self.actor).output().documents(parents)]
        return Response(
            {
                "count": len(results),
                "count_is_exact": True,
                "next": None,
                "previous": None,
                "results": results,
            }
        )


class HierarchyView(_OfTerritory):
    """A territory in its tree."""

    @documented(response=HierarchyDocument)
    def get(self, request: Request, territory_id: str) -> Response:
        """Get a territory with what is above and below it."""
        territory = self.territory(territory_id)
        [root] = forest(territory.get_all_children(include_self=True))
        shown = _documents(self.actor, [root])
        ancestors = view("territory", self.actor).output([*_fields(self.actor)])
        above = [row[0] for row in ancestors.documents(territory.get_all_parents())]
        return Response({"ancestors": above, "territory": shown[0]})


class MetricsView(_OfTerritory):
    """Figures of a territory."""

    @documented(response=MetricsDocument, query={"rollup": _SWITCH, "period": _PERIOD})
    def get(self, request: Request, territory_id: str) -> Response:
        """Get the figures of a territory, its own or rolled up."""
        faults: list[Fault] = []
        rollup = _switch(request.query_params, "rollup", faults)
        word, span = _span(self.actor, request.query_params, self.now, faults)
        if faults:
            raise Invalid(faults=faults)
        territory = self.territory(territory_id)
        own, rolled_up = own_and_rolled_up(self.actor, territory, span)
        return Response(
            {
                "territory": str(territory.pk),
                "period": word,
                "since": _moment(span.start),
                "until": _moment(span.end),
                "currency": span.currency,
                "rollup": rollup,
                "metrics": rolled_up if rollup else own,
            }
        )


class TreeView(_OfTerritory):
    """All territories."""

    @documented(
        response=TreeDocument,
        query={
            "root": {
                "type": "string",
                "format": "uuid",
                "description": "Only this territory and what is below it.",
            },
            "depth": {
                "type": "integer",
                "minimum": 0,
                "maximum": 1000,
                "description": "Levels below the roots.",
            },
            "metrics": {**_SWITCH, "description": "With figures, own and rolled up."},
            "period": _PERIOD,
        },
    )
    def get(self, request: Request) -> Response:
        """Get the whole tree of territories, with figures where they are asked for."""
        given = request.query_params
        faults: list[Fault] = []
        depth = _depth(given, faults)
        with_metrics = _switch(given, "metrics", faults)
        word, span = _span(self.actor, given, self.now, faults)
        if "period" in given and not with_metrics:
            faults.append(Fault("period", "not_together", f"{word} is of no use without metrics=true."))
        root = None
        if "root" in given:
            try:
                root = _existing(self.actor, "root", given["root"])
            except Invalid as refusal:
                faults += refusal.faults
        if faults:
            raise Invalid(faults=faults)
        found = Territory.objects.order_by("hierarchy_path") if root is None else root.get_all_children(True)
        if found.count() > MAX_NODES:
            detail = f"There are more than {MAX_NODES} territories; name a root."
            raise Invalid(faults=[Fault("root", "too_many", detail)])
        roots = forest(found)
        if with_metrics:
            add_figures(self.actor, roots, span)
        shown = _documents(self.actor, roots, depth=depth, with_figures=with_metrics)
        return Response({**({"currency": span.currency} if with_metrics else {}), "roots": shown})


def _fields(actor: Actor) -> Sequence[str]:
    seen = view("territory", actor).fields
    return [name for name in _SHOWN if name in seen]


def _documents(
    actor: Actor, roots: Sequence[Node], *, depth: int | None = None, with_figures: bool = False
) -> list[dict[str, Any]]:
    """Nested documents. Not by recursion: trees may be deeper than Python's stack; `depth` levels below the roots."""
    names = _fields(actor)
    made: list[dict[str, Any]] = []
    waiting = [(node, made, 0) for node in reversed(roots)]
    while waiting:
        node, siblings, level = waiting.pop()
        document = {name: _plain(getattr(node.territory, _attribute(name))) for name in names}
        if with_figures:
            document |= {"own": node.own, "rolled_up": node.rolled_up}
        children: list[dict[str, Any]] = []
        siblings.append({**document, "children": children})
        if depth is None or level < depth:
            waiting += [(child, children, level + 1) for child in reversed(node.children)]
    return made


def _attribute(name: str) -> str:
    return f"{name}_id" if name in ("parent_territory", "manager") else name


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, UUID) else value


def _existing(actor: Actor, name: str, text: str) -> Territory:
    """Raises: Invalid."""
    try:
        key = UUID(text)
    except ValueError:
        raise Invalid(faults=[Fault(name, "not_an_id", "An id (UUID) is expected.")]) from None
    found: Territory | None = view("territory", actor).records().filter(pk=key).first()
    if found is None:
        raise Invalid(faults=[Fault(name, "does_not_exist", "There is no such record.")])
    return found


def _switch(given: Mapping[str, str], name: str, faults: list[Fault]) -> bool:
    text = given.get(name, "false")
    if text not in ("true", "false"):
        faults.append(Fault(name, "not_a_boolean", "true or false is expected."))
    return text == "true"


def _depth(given: Mapping[str, str], faults: list[Fault]) -> int | None:
    text = given.get("depth")
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 5 and int(text) <= 1000):
        faults.append(Fault("depth", "not_an_integer", "A whole number from 0 to 1000 is expected."))
        return None
    return int(text)


def _span(actor: Actor, given: Mapping[str, str], now: Any, faults: list[Fault]) -> tuple[str, Span]:
    word = given.get("period", DEFAULT_PERIOD)
    currency = get_company(actor).default_currency
    try:
        period = Relative.read(word)
    except TooFar as error:
        faults.append(Fault("period", "too_large", str(error)))
        return word, Span(now - timedelta(days=1), now, currency)
    if not isinstance(period, Relative):
        faults.append(Fault("period", "not_a_choice", "A relative date is expected, such as this_quarter."))
        return word, Span(now - timedelta(days=1), now, currency)
    start, end = period.moments(now, ZoneInfo(actor.zone))
    return word, Span(start, end, currency)


def _moment(value: Any) -> str:
    return str(value.isoformat()).replace("+00:00", "Z")
