"""Figures of territories, own and rolled up: one statement for the tree, and one for each kind of records."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any
from uuid import UUID

from core.access import view
from core.tenancy.actors import Actor
from territories.models import Territory
from territories.registries import METRICS, Span, TerritoryMetric, ratio

Figures = dict[str, Any]
# Shares of two figures: name -> (part, whole). They are computed after the roll-up, never added.
RATIOS = {"conversion_rate": ("converted_leads", "leads")}


@dataclass
class Node:
    """A territory in its tree, with its figures when they were asked for. A figure that the viewer may not ask is None."""

    territory: Territory
    children: list[Node] = field(default_factory=list)
    own: Figures = field(default_factory=dict)
    rolled_up: Figures = field(default_factory=dict)


def forest(territories: Iterable[Territory]) -> list[Node]:
    """Trees of the territories, which come parents first. One whose parent is not among them is a root."""
    nodes: dict[UUID, Node] = {}
    roots: list[Node] = []
    for territory in territories:
        node = nodes[territory.pk] = Node(territory)
        parent = nodes.get(territory.parent_territory_id) if territory.parent_territory_id else None
        (roots if parent is None else parent.children).append(node)
    return roots


def add_figures(actor: Actor, roots: Sequence[Node], span: Span) -> None:
    """Put the figures of each node beside it: those of the records that the actor sees.

    Rolled up, a territory has its own figures and those of everything below it that rolls up; a branch that does not is
    left out whole. A record is in one territory, so nothing counts twice.
    """
    own = _own_figures(actor, span)
    for root in roots:
        _add(root, own)


def own_and_rolled_up(actor: Actor, territory: Territory, span: Span) -> tuple[Figures, Figures]:
    """The figures of one territory."""
    [root] = forest(territory.get_all_children(include_self=True))
    add_figures(actor, [root], span)
    return root.own, root.rolled_up


def _own_figures(actor: Actor, span: Span) -> dict[UUID, Figures]:
    found: dict[UUID, Figures] = defaultdict(dict)
    by_entity: dict[str, list[TerritoryMetric]] = defaultdict(list)
    for metric in METRICS:
        by_entity[metric.entity].append(metric)
    for name, metrics in by_entity.items():
        seen = view(name, actor)
        allowed = [metric for metric in metrics if seen.can_ask("territory", *metric.needs)]
        if not allowed:
            continue
        records = seen.records().filter(territory__isnull=False).order_by().values("territory_id")
        aggregates = {f"figure_{metric.name}": metric.aggregate(span) for metric in allowed}
        for row in records.annotate(**aggregates):
            for metric in allowed:
                found[row["territory_id"]][metric.name] = row[f"figure_{metric.name}"]
    zero = {metric.name: _zero(metric) for metric in METRICS if _may(actor, metric)}
    return defaultdict(
        lambda: dict(zero), {key: {**zero, **_filled(figures)} for key, figures in found.items()}
    )


def _may(actor: Actor, metric: TerritoryMetric) -> bool:
    return view(metric.entity, actor).can_ask("territory", *metric.needs)


def _zero(metric: TerritoryMetric) -> Any:
    return Decimal(0) if metric.is_money else 0


def _filled(figures: Figures) -> Figures:
    return {name: value for name, value in figures.items() if value is not None}


def _add(node: Node, own: dict[UUID, Figures]) -> None:
    """Without recursion: trees may be deeper than Python's stack."""
    order, waiting = [], [node]
    while waiting:
        current = waiting.pop()
        order.append(current)
        waiting += current.children
    for current in reversed(order):
        mine = own[current.territory.pk]
        total = dict(mine)
        for child in current.children:
            if child.territory.rollup_metrics:
                for name, value in child.rolled_up.items():
                    if name in mine:
                        total[name] += value
        current.own, current.rolled_up = mine, total
    for current in order:
        current.own, current.rolled_up = _complete(current.own), _complete(current.rolled_up)


def _complete(figures: Figures) -> Figures:
    """Every figure by name, those that may not be asked as None, amounts as texts, and the shares."""
    shown: Figures = {}
    for metric in METRICS:
        value = figures.get(metric.name)
        shown[metric.name] = None if value is None else (f"{value:.2f}" if metric.is_money else value)
    for name, (part, whole) in RATIOS.items():
        shown[name] = ratio(figures, part, whole)
    return shown
