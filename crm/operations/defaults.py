"""What every company starts with: a default pipeline and lost reasons."""

from __future__ import annotations

from datetime import datetime

from core.changes import Rows
from core.tenancy.actors import Actor
from crm.models import LostReason, Pipeline
from crm.operations.catalog import create_lost_reasons
from crm.operations.pipelines import create_pipelines

LOST_REASONS = {
    "deal": ("Price", "Competitor", "No budget", "No decision", "Timing", "Missing feature", "Other"),
    "lead": ("Not a fit", "No interest", "No response", "Wrong contact details", "Other"),
}


def seed_company_defaults(actor: Actor, now: datetime) -> None:
    """Give a company without pipelines the default one and the usual reasons. Needs a transaction in the company."""
    if not Pipeline.objects.exists():
        pipeline = {"name": "Sales", "code": "sales", "is_default": True}
        create_pipelines(actor=actor, rows=Rows.of(Pipeline, [pipeline]), now=now).raise_if_refused()
    if not LostReason.objects.exists():
        reasons = [
            {"name": name, "applies_to": applies_to, "order": place}
            for applies_to, names in LOST_REASONS.items()
            for place, name in enumerate(names)
        ]
        create_lost_reasons(actor=actor, rows=Rows.of(LostReason, reasons), now=now).raise_if_refused()
