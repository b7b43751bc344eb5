"""What is counted in territories. The apps whose records belong to territories register their figures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Aggregate

from core.kernel.registry import Registry


@dataclass(frozen=True)
class Span:
    """The time that figures of a period are about, in UTC, and the currency that amounts are in."""

    start: datetime
    end: datetime
    currency: str


@dataclass(frozen=True)
class TerritoryMetric:
    """One figure of a territory: an aggregate over the records of an entity that the viewer sees.

    `needs` are the fields that the viewer has to be allowed to ask for; without one of them the figure is null.
    """

    name: str
    label: str
    description: str
    entity: str
    aggregate: Callable[[Span], Aggregate]
    needs: tuple[str, ...] = ()
    is_money: bool = False


METRICS: Registry[TerritoryMetric] = Registry("territory metric")


def register_metric(metric: TerritoryMetric) -> TerritoryMetric:
    return METRICS.register(metric.name, metric)


def ratio(figures: dict[str, Any], part: str, whole: str) -> float | None:
    """A share in percent with one decimal; None where there is nothing to divide by."""
    if figures.get(whole) in (None, 0) or figures.get(part) is None:
        return None
    return round(100 * float(figures[part]) / float(figures[whole]), 1)
