"""Home: tiles that apps add. Each shows what the person may see and leads to the list behind it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest
from django.utils.text import slugify

from core.kernel.registry import Registry
from core.tenancy.actors import Actor


@dataclass(frozen=True)
class Figure:
    """A number with its name, leading to the records it counts."""

    label: str
    value: str
    url: str = ""
    icon: str = ""
    # What it is compared with, such as "+12 % against last month", and whether that is good news.
    note: str = ""
    is_good: bool | None = None


@dataclass(frozen=True)
class Line:
    """A line of a panel's list."""

    title: str
    url: str = ""
    note: str = ""
    is_late: bool = False
    # 0 to 100, for work in progress.
    percent: int | None = None


@dataclass(frozen=True)
class Panel:
    """A box: a chart (a Vega-Lite specification) with its table, or a list of lines."""

    title: str
    url: str = ""
    url_label: str = ""
    chart: dict[str, Any] | None = None
    columns: Sequence[str] = ()
    # (address, cells)
    rows: Sequence[tuple[str, Sequence[str]]] = ()
    lines: Sequence[Line] = ()
    empty: str = "Nothing here yet."
    is_wide: bool = False
    # The smaller, the further up.
    position: int = 100

    @property
    def chart_id(self) -> str:
        """The id under which the page keeps the specification."""
        return f"chart-{slugify(self.title)}"


# Apps add theirs in `admin.py`. None: not for this person.
FIGURES: Registry[Callable[[Actor], Sequence[Figure]]] = Registry("home figures")
PANELS: Registry[Callable[[Actor], Panel | None]] = Registry("home panel")


def context_of(request: HttpRequest) -> dict[str, Any]:
    actor: Actor = request.actor  # type: ignore[attr-defined]
    panels = sorted(
        (panel for make in PANELS if (panel := make(actor)) is not None), key=lambda panel: panel.position
    )
    return {
        "figures": [figure for make in FIGURES for figure in make(actor)],
        "panels": panels,
        "has_charts": any(panel.chart for panel in panels),
    }
