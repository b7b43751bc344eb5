"""CRM records for tests, made through the operations: one call, one record, only what matters said.

All need a transaction in the actor's company (`with world.acting() as actor`).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from django.db import models

from core.changes import Outcome, Rows
from core.tenancy.actors import Actor
from crm import operations
from crm.models import (
    Account,
    Activity,
    ActivityParticipant,
    Contact,
    Deal,
    DealContact,
    DealProduct,
    Lead,
    LostReason,
    Note,
    Pipeline,
    PipelineStage,
    Product,
    Tag,
    Task,
)

NOW = datetime(2026, 5, 20, 12, 0, tzinfo=UTC)
_numbers = itertools.count(1)


def _maker(model: type[models.Model], create: Callable[..., Outcome], **defaults: Any) -> Callable[..., Any]:
    """A function `(actor, now=NOW, **fields)` that makes one record and answers it."""

    def make(actor: Actor, *, now: datetime = NOW, **fields: Any) -> Any:
        number = next(_numbers)
        row = {name: value(number) if callable(value) else value for name, value in defaults.items()}
        outcome = create(actor=actor, rows=Rows.of(model, [row | fields]), now=now)
        return model._default_manager.get(pk=outcome.one)

    return make


make_account = _maker(Account, operations.create_accounts, name=lambda number: f"Account {number}")
make_contact = _maker(Contact, operations.create_contacts, last_name=lambda number: f"Contact {number}")
make_lead = _maker(Lead, operations.create_leads, last_name=lambda number: f"Lead {number}")
make_deal = _maker(
    Deal, operations.create_deals, name=lambda number: f"Deal {number}", close_date="2026-06-30"
)
make_product = _maker(Product, operations.create_products, name=lambda number: f"Product {number}")
make_deal_product = _maker(DealProduct, operations.create_deal_products)
make_deal_contact = _maker(DealContact, operations.create_deal_contacts)
make_activity = _maker(Activity, operations.create_activities, type="call", subject="Call")
make_activity_participant = _maker(ActivityParticipant, operations.create_activity_participants)
make_task = _maker(Task, operations.create_tasks, subject="Do it")
make_note = _maker(Note, operations.create_notes, body="Noted.")
make_tag = _maker(Tag, operations.create_tags, name=lambda number: f"tag {number}")
make_pipeline = _maker(Pipeline, operations.create_pipelines, name=lambda number: f"Pipeline {number}")
make_stage = _maker(PipelineStage, operations.create_pipeline_stages, name=lambda number: f"Stage {number}")
make_lost_reason = _maker(LostReason, operations.create_lost_reasons, name=lambda number: f"Reason {number}")


def stage(code: str, pipeline: Any = None) -> Any:
    """The stage of that code in the pipeline, or in the default one."""
    stages = PipelineStage.objects.filter(code=code)
    return stages.get(pipeline=pipeline) if pipeline else stages.get(pipeline__is_default=True)


def lost_reason(applies_to: str = "deal") -> Any:
    """One of the reasons a company starts with."""
    return LostReason.objects.filter(applies_to=applies_to).order_by("order").first()
