"""Facts of the CRM's records."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from core.entities import RECORD_FACTS, RECORD_INTERNAL, Entity, Writes, fact, register
from core.entities.kinds import Kind
from crm import operations
from crm.models.choices import LEAD_STATUS_TYPES, LeadStatusType
from crm.operations.catalog import TAGGED

Happened = Callable[[frozenset[str], Mapping[str, Any], Mapping[str, Any]], bool]


def _changed(name: str) -> Happened:
    return lambda changed, old, new: name in changed


def _became(name: str, *values: str) -> Happened:
    return lambda changed, old, new: name in changed and new.get(name) in values


def _reopened(changed: frozenset[str], old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    return "status" in changed and new.get("status") == "open"


def _opted_out(changed: frozenset[str], old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    return any(name in changed and new.get(name) is True for name in ("email_opt_out", "do_not_call"))


def _address(prefix: str = "", pii: bool = False) -> tuple[Any, ...]:
    parts = ("street", "city", "state", "postal_code")
    return (
        *(fact(f"{prefix}{part}", pii=pii) for part in parts),
        fact(f"{prefix}country", kind=Kind.COUNTRY),
    )


_LEAD_STATUS_TYPE = " ".join(f"WHEN '{status}' THEN '{kind}'" for status, kind in LEAD_STATUS_TYPES.items())

ACCOUNT = register(
    Entity(
        name="account",
        plural="accounts",
        model_label="crm.Account",
        facts=(
            fact("name", meaning="name", key=True, search="A"),
            fact("legal_name", search="B"),
            fact("account_number", key=True, search="A"),
            fact("type"),
            fact("status", meaning="status"),
            fact("industry", search="C", meaning="industry"),
            fact("rating"),
            fact("website", kind=Kind.URL, search="B", meaning="website"),
            fact("website_domain", key=True, sortable=True, description="Host of the website, for matching."),
            fact("email", kind=Kind.EMAIL, search="B", meaning="email"),
            fact("phone", kind=Kind.PHONE, search="B", meaning="phone"),
            fact("description", search="D"),
            fact("parent", label="Parent account"),
            fact("primary_contact", description="One of the account's own contacts."),
            fact("annual_revenue", kind=Kind.MONEY, meaning="amount"),
            fact("currency", kind=Kind.CURRENCY, meaning="currency"),
            fact("number_of_employees"),
            fact("ownership"),
            fact("tax_id", label="Tax ID"),
            fact("source", meaning="source"),
            *_address("billing_"),
            *_address("shipping_"),
            fact("last_activity_at", read_only=True),
            *RECORD_FACTS,
        ),
        internal=RECORD_INTERNAL | {"name_norm", "email_norm", "phone_norm", "search_vector"},
        writes=Writes(
            operations.create_accounts,
            operations.update_accounts,
            operations.delete_accounts,
            operations.restore_accounts,
        ),
    )
)

CONTACT = register(
    Entity(
        name="contact",
        plural="contacts",
        model_label="crm.Contact",
        facts=(
            fact("account", meaning="account"),
            fact("salutation"),
            fact("first_name", pii=True, search="A", meaning="first_name"),
            fact("last_name", pii=True, search="A", meaning="last_name"),
            fact("full_name", pii=True, meaning="name"),
            fact("title", search="B"),
            fact("department"),
            fact("reports_to"),
            fact("email", kind=Kind.EMAIL, pii=True, key=True, search="A", meaning="email"),
            fact("phone", kind=Kind.PHONE, pii=True, search="B", meaning="phone"),
            fact("mobile", kind=Kind.PHONE, pii=True, search="B"),
            fact("lead_source", meaning="source"),
            fact("lifecycle_stage"),
            fact("birth_date", pii=True),
            fact("preferred_language"),
            fact("preferred_channel"),
            fact("do_not_call"),
            fact("email_opt_out"),
            *_address("mailing_", pii=True),
            fact("description", search="D"),
            fact("last_contacted_at", read_only=True),
            *RECORD_FACTS,
        ),
        internal=RECORD_INTERNAL | {"email_norm", "phone_norm", "search_vector"},
        writes=Writes(
            operations.create_contacts,
            operations.update_contacts,
            operations.delete_contacts,
            operations.restore_contacts,
        ),
        title=("full_name",),
        events={"opted_out": _opted_out},
    )
)

LEAD = register(
    Entity(
        name="lead",
        plural="leads",
        model_label="crm.Lead",
        facts=(
            fact("salutation"),
            fact("first_name", pii=True, search="A", meaning="first_name"),
            fact("last_name", pii=True, search="A", meaning="last_name"),
            fact("full_name", pii=True, meaning="name"),
            fact("company_name", search="A", meaning="company_name"),
            fact("title", search="B"),
            fact("email", kind=Kind.EMAIL, pii=True, key=True, search="A", meaning="email"),
            fact("phone", kind=Kind.PHONE, pii=True, search="B", meaning="phone"),
            fact("mobile", kind=Kind.PHONE, pii=True, search="B"),
            fact("website", kind=Kind.URL, search="B", meaning="website"),
            fact("website_domain", description="Host of the website, for matching."),
            *_address(),
            fact("status", meaning="status"),
            fact(
                "status_type",
                kind=Kind.CHOICE,
                sql=f"CASE {{t}}.status {_LEAD_STATUS_TYPE} END",
                choices=tuple((str(value), str(label)) for value, label in LeadStatusType.choices),
                dimension=True,
                description="What the status means: open, ongoing, on hold, won or lost.",
            ),
            fact("status_reason"),
            fact("source", meaning="source"),
            fact("source_detail"),
            fact("rating"),
            fact("industry", search="C", meaning="industry"),
            fact("annual_revenue", kind=Kind.MONEY),
            fact("currency", kind=Kind.CURRENCY, meaning="currency"),
            fact("number_of_employees"),
            fact("estimated_value", kind=Kind.MONEY, meaning="amount"),
            fact("budget_known"),
            fact("authority_known"),
            fact("need"),
            fact("timeline"),
            fact("do_not_call"),
            fact("email_opt_out"),
            fact("description", search="D"),
            fact("assigned_at", read_only=True),
            fact("qualified_at", read_only=True),
            fact("disqualified_reason"),
            fact("last_activity_at", read_only=True),
            fact("converted_at", read_only=True),
            fact("converted_by", read_only=True),
            fact("converted_account", read_only=True),
            fact("converted_contact", read_only=True),
            fact("converted_deal", read_only=True),
            *RECORD_FACTS,
        ),
        internal=RECORD_INTERNAL | {"email_norm", "phone_norm", "search_vector"},
        writes=Writes(
            operations.create_leads,
            operations.update_leads,
            operations.delete_leads,
            operations.restore_leads,
        ),
        title=("full_name", "company_name"),
        events={
            "status_changed": _changed("status"),
            "assigned": _changed("owner"),
            "converted": _became("status", "converted"),
        },
    )
)

PIPELINE = register(
    Entity(
        name="pipeline",
        plural="pipelines",
        model_label="crm.Pipeline",
        facts=(
            fact("name", meaning="name", key=True),
            fact("code", key=True),
            fact("description"),
            fact("is_default"),
            fact("is_active"),
            fact("order"),
            fact("enforce_stage_order"),
            fact("allow_reopen"),
            fact("forecast_enabled"),
            fact("rotting_days"),
        ),
        writes=Writes(operations.create_pipelines, operations.update_pipelines, operations.delete_pipelines),
        ordering="order",
    )
)

PIPELINE_STAGE = register(
    Entity(
        name="pipeline_stage",
        plural="pipeline_stages",
        model_label="crm.PipelineStage",
        facts=(
            fact("pipeline"),
            fact("name", meaning="name", key=True),
            fact("code", key=True),
            fact("order"),
            fact("stage_type"),
            fact("probability"),
            fact("forecast_category"),
            fact("rotting_days", description="Days after which a deal in this stage counts as stale."),
            fact("required_fields", description="Deal fields that must be set to enter."),
            fact(
                "allowed_next",
                description="Ids of the stages of the same pipeline that a deal may go to from here; empty: any.",
            ),
            fact("color"),
            fact("is_active"),
            fact("description"),
        ),
        writes=Writes(
            operations.create_pipeline_stages,
            operations.update_pipeline_stages,
            operations.delete_pipeline_stages,
        ),
        ordering="order",
    )
)

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
            *RECORD_FACTS,
        ),
        internal=RECORD_INTERNAL | {"search_vector"},
        writes=Writes(
            operations.create_deals,
            operations.update_deals,
            operations.delete_deals,
            operations.restore_deals,
        ),
        events={
            "stage_changed": _changed("stage"),
            "won": _became("status", "won"),
            "lost": _became("status", "lost"),
            "reopened": _reopened,
            "amount_changed": _changed("amount"),
            "close_date_changed": _changed("close_date"),
            "assigned": _changed("owner"),
        },
    )
)

DEAL_CONTACT = register(
    Entity(
        name="deal_contact",
        plural="deal_contacts",
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
        ),
        title=("contact",),
        visible_through=("deal",),
    )
)

DEAL_STAGE_HISTORY = register(
    Entity(
        name="deal_stage_history",
        plural="deal_stage_history",
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

PRODUCT = register(
    Entity(
        name="product",
        plural="products",
        model_label="crm.Product",
        facts=(
            fact("name", meaning="name", key=True, search="A"),
            fact("sku", label="SKU", key=True, search="A"),
            fact("family", search="B"),
            fact("product_type"),
            fact("unit"),
            fact("unit_price", kind=Kind.MONEY, meaning="amount"),
            fact("cost_price", kind=Kind.MONEY),
            fact("currency", kind=Kind.CURRENCY, meaning="currency"),
            fact("billing_period"),
            fact("is_active"),
            fact("description", search="D"),
            *(replace(item, meaning="") for item in RECORD_FACTS),
        ),
        internal=RECORD_INTERNAL | {"search_vector"},
        writes=Writes(
            operations.create_products,
            operations.update_products,
            operations.delete_products,
            operations.restore_products,
        ),
        ordering="name",
    )
)

DEAL_PRODUCT = register(
    Entity(
        name="deal_product",
        plural="deal_products",
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
        ),
        ordering="order",
        visible_through=("deal",),
    )
)

_RELATED = (fact("account"), fact("contact"), fact("lead"), fact("deal"))
_THROUGH = ("account", "contact", "lead", "deal")

ACTIVITY = register(
    Entity(
        name="activity",
        plural="activities",
        model_label="crm.Activity",
        facts=(
            fact("type"),
            fact("subject", meaning="name", search="A"),
            fact("description", search="D"),
            fact("status", meaning="status"),
            fact("direction"),
            fact("start_at", meaning="start_at"),
            fact("end_at"),
            fact("duration_minutes"),
            fact("location", search="D"),
            fact("outcome"),
            fact("priority"),
            fact("completed_at", read_only=True),
            fact("counts_as_touch"),
            *_RELATED,
            *RECORD_FACTS,
        ),
        internal=RECORD_INTERNAL | {"search_vector"},
        writes=Writes(
            operations.create_activities,
            operations.update_activities,
            operations.delete_activities,
            operations.restore_activities,
        ),
        title=("subject",),
        ordering="-start_at",
        visible_through=_THROUGH,
        events={"completed": _became("status", "held"), "canceled": _became("status", "canceled")},
    )
)

ACTIVITY_PARTICIPANT = register(
    Entity(
        name="activity_participant",
        plural="activity_participants",
        model_label="crm.ActivityParticipant",
        facts=(
            fact("activity"),
            fact("kind", description="Which of the four below is given; it may be left out."),
            fact("user"),
            fact("contact"),
            fact("lead"),
            fact("email", kind=Kind.EMAIL, pii=True),
            fact("response"),
            fact("is_organizer"),
        ),
        writes=Writes(
            operations.create_activity_participants,
            operations.update_activity_participants,
            operations.delete_activity_participants,
        ),
        title=("kind",),
        visible_through=("activity",),
    )
)

_TODAY = (
    "(now() AT TIME ZONE (SELECT its_company.timezone FROM core_company its_company "
    "WHERE its_company.id = {t}.company_id))::date"
)

TASK = register(
    Entity(
        name="task",
        plural="tasks",
        model_label="crm.Task",
        facts=(
            fact("subject", meaning="name", search="A"),
            fact("description", search="D"),
            fact("type"),
            fact("status", meaning="status"),
            fact("priority"),
            fact("start_date"),
            fact("due_date", meaning="due_date"),
            fact("due_at"),
            fact("reminder_at"),
            fact("completed_at", read_only=True),
            fact(
                "is_overdue",
                kind=Kind.BOOLEAN,
                sql="coalesce({t}.status NOT IN ('completed', 'canceled') "
                f"AND ({{t}}.due_at < now() OR {{t}}.due_date < {_TODAY}), false)",
                description="Past its moment, or its day in the company's time zone, and not done.",
            ),
            *_RELATED,
            *RECORD_FACTS,
        ),
        internal=RECORD_INTERNAL | {"search_vector"},
        writes=Writes(
            operations.create_tasks,
            operations.update_tasks,
            operations.delete_tasks,
            operations.restore_tasks,
        ),
        title=("subject",),
        visible_through=_THROUGH,
        events={"completed": _became("status", "completed"), "assigned": _changed("owner")},
    )
)

NOTE = register(
    Entity(
        name="note",
        plural="notes",
        model_label="crm.Note",
        facts=(
            fact("title", meaning="name", search="A"),
            fact("body", search="D", description="Markdown."),
            fact("body_html", read_only=True, filterable=False, description="The body as sanitized HTML."),
            fact("is_pinned"),
            fact("edited_at", read_only=True),
            *_RELATED,
            *RECORD_FACTS,
        ),
        internal=RECORD_INTERNAL | {"search_vector"},
        writes=Writes(
            operations.create_notes,
            operations.update_notes,
            operations.delete_notes,
            operations.restore_notes,
        ),
        title=("title",),
        visible_through=_THROUGH,
    )
)

_USES = " + ".join(
    f"(SELECT count(*) FROM {table} tagged WHERE tagged.company_id = {{t}}.company_id "
    "AND tagged.deleted_at IS NULL AND tagged.tags @> ARRAY[{t}.name])"
    for table in TAGGED
)

TAG = register(
    Entity(
        name="tag",
        plural="tags",
        model_label="crm.Tag",
        facts=(
            fact("name", meaning="name", key=True),
            fact("color"),
            fact("description"),
            fact("usage_count", kind=Kind.INTEGER, sql=_USES, filterable=False, sortable=False),
        ),
        writes=Writes(operations.create_tags, operations.update_tags, operations.delete_tags),
        ordering="name",
    )
)

LOST_REASON = register(
    Entity(
        name="lost_reason",
        plural="lost_reasons",
        model_label="crm.LostReason",
        facts=(
            fact("name", meaning="name", key=True),
            fact("applies_to"),
            fact("is_active"),
            fact("order"),
        ),
        writes=Writes(
            operations.create_lost_reasons,
            operations.update_lost_reasons,
            operations.delete_lost_reasons,
        ),
        ordering="order",
    )
)
