"""Deals, their lines, contacts and stage history."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from core.entities import RECORD_FACTS, RECORD_INTERNAL, Entity, Nested, Writes, fact, register
from core.entities.kinds import Kind
from crm import operations
from crm.entities.facts import became, changed_field
from territories.entities import TERRITORY_FACTS


def _reopened(changed: frozenset[str], old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    return "status" in changed and new.get("status") == "open"


_ROTTING_DAYS = (
    "SELECT coalesce(its_stage.rotting_days, its_pipeline.rotting_days) FROM crm_pipelinestage its_stage "
    "JOIN crm_pipeline its_pipeline ON its_pipeline.company_id = its_stage.company_id "
    "AND its_pipeline.id = its_stage.pipeline_id "
    "WHERE its_stage.company_id = {t}.company_id AND its_stage.id = {t}.stage_id"
)


DEAL = register(
    Entity(
        name="deal",
        plural="deals",
        description="Deals, also called opportunities.",
        # A deal does not fall back to its first stage because a client left the stage out.
        put_keeps=frozenset({"pipeline", "stage", "amount", "amount_source"}),
        model_label="crm.Deal",
        facts=(
            fact("name", meaning="name", search="A"),
            fact("account", meaning="account"),
            fact("primary_contact", meaning="contact"),
            fact("lead", label="Origin lead"),
            fact("pipeline", meaning="pipeline"),
            fact("stage", meaning="stage"),
            fact("amount", kind=Kind.MONEY, meaning="amount"),
            fact("amount_source"),
            fact("currency", kind=Kind.CURRENCY, meaning="currency"),
            fact("probability", meaning="probability"),
            fact("probability_overridden"),
            fact("expected_amount", kind=Kind.MONEY, meaning="expected_amount"),
            fact("forecast_category", meaning="forecast_category"),
            fact("forecast_category_overridden"),
            fact("close_date", meaning="close_date"),
            fact("closed_at", meaning="closed_at"),
            fact("status", meaning="status", read_only=True),
            fact("is_closed"),
            fact("is_won", meaning="is_won"),
            fact("deal_type"),
            fact("source", meaning="source"),
            fact("next_step", search="C"),
            fact("next_step_date"),
            fact("lost_reason"),
            fact("lost_notes"),
            fact("competitor", search="C"),
            fact("stage_changed_at", read_only=True),
            fact(
                "days_in_stage",
                kind=Kind.INTEGER,
                sql="floor(extract(epoch FROM now() - {t}.stage_changed_at) / 86400)::int",
                measure=True,
            ),
            fact(
                "is_stale",
                kind=Kind.BOOLEAN,
                # In seconds: so many days back may lie before the calendar begins.
                sql="coalesce({t}.status = 'open' AND extract(epoch FROM now() - {t}.stage_changed_at) > "
                f"86400.0 * ({_ROTTING_DAYS}), false)",
                description="Longer in its stage than the stage's rotting days.",
            ),
            fact(
                "push_count", read_only=True, description="How often the close date moved to a later month."
            ),
            fact("last_activity_at", read_only=True),
            fact("description", search="D"),
            *TERRITORY_FACTS,
            *RECORD_FACTS,
        ),
        internal=RECORD_INTERNAL | {"search_vector"},
        writes=Writes(
            operations.create_deals,
            operations.update_deals,
            operations.delete_deals,
            operations.restore_deals,
            judge=operations.judge_deals,
        ),
        events={
            "stage_changed": changed_field("stage"),
            "won": became("status", "won"),
            "lost": became("status", "lost"),
            "reopened": _reopened,
            "amount_changed": changed_field("amount"),
            "close_date_changed": changed_field("close_date"),
            "assigned": changed_field("owner"),
        },
    )
)


DEAL_CONTACT = register(
    Entity(
        name="deal_contact",
        plural="deal_contacts",
        description="Contacts of deals and the parts they play. A new primary one takes the place of the former.",
        nested=(Nested("deal", "contacts", with_records=True),),
        model_label="crm.DealContact",
        facts=(
            fact("deal"),
            fact("contact", meaning="contact"),
            fact("role"),
            fact(
                "is_primary",
                description="The deal's primary contact; setting one here or there sets the other.",
            ),
        ),
        writes=Writes(
            operations.create_deal_contacts,
            operations.update_deal_contacts,
            operations.delete_deal_contacts,
            judge=operations.judge_deal_contacts,
        ),
        title=("contact",),
        visible_through=("deal",),
    )
)


DEAL_STAGE_HISTORY = register(
    Entity(
        name="deal_stage_history",
        plural="deal_stage_history",
        description="The stages that deals went through.",
        nested=(Nested("deal", "stage-history"),),
        model_label="crm.DealStageHistory",
        facts=(
            fact("deal", read_only=True),
            fact("from_stage", read_only=True),
            fact("to_stage", read_only=True),
            fact("from_pipeline", read_only=True),
            fact("to_pipeline", read_only=True),
            fact("changed_by", read_only=True),
            fact("changed_at", read_only=True),
            fact("duration_seconds", read_only=True),
            fact("amount_before", kind=Kind.MONEY, read_only=True),
            fact("amount_after", kind=Kind.MONEY, read_only=True),
            fact("probability_before", read_only=True),
            fact("probability_after", read_only=True),
            fact("close_date_before", read_only=True),
            fact("close_date_after", read_only=True),
            fact("forecast_category_before", read_only=True),
            fact("forecast_category_after", read_only=True),
            fact("source", read_only=True),
        ),
        title=("changed_at",),
        ordering="-changed_at",
        visible_through=("deal",),
    )
)


DEAL_PRODUCT = register(
    Entity(
        name="deal_product",
        plural="deal_products",
        description="Lines of deals. The amount of a deal is the sum of its lines.",
        nested=(Nested("deal", "products", with_records=True),),
        model_label="crm.DealProduct",
        facts=(
            fact("deal"),
            fact("product"),
            fact("name", meaning="name"),
            fact("sku", label="SKU"),
            fact("description"),
            fact("quantity"),
            fact("unit"),
            fact("unit_price", kind=Kind.MONEY),
            fact("list_price", kind=Kind.MONEY, read_only=True),
            fact("discount_type"),
            fact("discount_value"),
            fact("order"),
            fact("subtotal", kind=Kind.MONEY),
            fact("discount_amount", kind=Kind.MONEY),
            fact("total", kind=Kind.MONEY, meaning="amount"),
        ),
        writes=Writes(
            operations.create_deal_products,
            operations.update_deal_products,
            operations.delete_deal_products,
            judge=operations.judge_deal_products,
        ),
        ordering="order",
        visible_through=("deal",),
    )
)
