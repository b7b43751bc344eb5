"""Dashboards are judged when they are written: their widgets name reports that whoever writes them sees."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import ValidationError

from analytics.reports.models import Dashboard
from analytics.reports.operations.reports import people_faults
from analytics.reports.schemas import WidgetDocument
from core.access import view
from core.changes import Outcome, Rows, WriteSpec, erase, insert, update
from core.kernel.errors import Fault, refused_input
from core.tenancy import context
from core.tenancy.actors import Actor

MAX_WIDGETS = 24
MAX_FILTERS = 20

_SPEC = WriteSpec(
    Dashboard,
    derive={"owner_id": "coalesce(n.owner_id, o.owner_id, %(user)s::uuid)"},
)


def check_dashboard(values: Mapping[str, Any]) -> None:
    """Judge one row that is created or changed, with the actor in context. Raises: Invalid with every fault."""
    actor = context.current().actor
    assert actor is not None  # noqa: S101 - writes have an actor
    faults: list[Fault] = []
    if "widgets" in values:
        faults += _widget_faults(actor, values["widgets"])
    filters = values.get("filters")
    if filters is not None and not (
        isinstance(filters, list)
        and len(filters) <= MAX_FILTERS
        and all(isinstance(item, dict) for item in filters)
    ):
        faults.append(
            Fault("filters", "not_a_list", f"A list of at most {MAX_FILTERS} conditions is expected.")
        )
    if "shared_with" in values:
        faults += people_faults(values["shared_with"])
    if faults:
        raise refused_input(faults=faults)


def _widget_faults(actor: Actor, documents: Any) -> list[Fault]:
    if not isinstance(documents, list) or len(documents) > MAX_WIDGETS:
        return [Fault("widgets", "not_a_list", f"A list of at most {MAX_WIDGETS} widgets is expected.")]
    faults: list[Fault] = []
    asked: dict[int, UUID] = {}
    for place, document in enumerate(documents):
        try:
            widget = WidgetDocument.model_validate(document)
            asked[place] = UUID(widget.report)
        except ValidationError as error:
            for item in error.errors(include_url=False, include_context=False, include_input=False):
                path = ".".join(map(str, ("widgets", place, *item["loc"])))
                faults.append(Fault(path, "invalid", f"{item['msg']}."))
        except ValueError:
            faults.append(Fault(f"widgets.{place}.report", "not_an_id", "An id (UUID) is expected."))
    seen = view("report", actor).open_for(set(asked.values()), ())
    return faults + [
        Fault(f"widgets.{place}.report", "does_not_exist", "There is no such report.")
        for place, key in asked.items()
        if key not in seen
    ]


def create_dashboards(*, actor: Actor, rows: Rows, now: datetime, all_or_none: bool = True) -> Outcome:
    """Keep dashboards. Needs a transaction. `check_dashboard` has judged their content."""
    return insert(_SPEC, rows, actor=actor, now=now, all_or_none=all_or_none)


def update_dashboards(*, actor: Actor, rows: Rows, now: datetime, all_or_none: bool = True) -> Outcome:
    """Change dashboards. Needs a transaction. `check_dashboard` has judged their content."""
    return update(_SPEC, rows, actor=actor, now=now, all_or_none=all_or_none)


def delete_dashboards(*, actor: Actor, rows: Rows, now: datetime, all_or_none: bool = True) -> Outcome:
    """Remove dashboards; their reports stay. Needs a transaction."""
    return erase(_SPEC, rows, actor=actor, now=now, all_or_none=all_or_none)
