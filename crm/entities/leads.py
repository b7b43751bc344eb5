"""Leads."""

from __future__ import annotations

from core.entities import RECORD_FACTS, RECORD_INTERNAL, Entity, Writes, fact, register
from core.entities.kinds import Kind
from crm import operations
from crm.entities.facts import address_facts, became, changed_field, person_reach_facts
from crm.models.choices import LEAD_STATUS_TYPES, LeadStatusType
from territories.entities import TERRITORY_FACTS

_LEAD_STATUS_TYPE = " ".join(f"WHEN '{status}' THEN '{kind}'" for status, kind in LEAD_STATUS_TYPES.items())


LEAD = register(
    Entity(
        name="lead",
        plural="leads",
        description="People and companies that may become customers.",
        model_label="crm.Lead",
        facts=(
            fact("salutation"),
            fact("first_name", pii=True, search="A", meaning="first_name"),
            fact("last_name", pii=True, search="A", meaning="last_name"),
            fact("full_name", pii=True, meaning="name"),
            fact("company_name", search="A", meaning="company_name"),
            fact("title", search="B"),
            *person_reach_facts(),
            fact("website", kind=Kind.URL, search="B", meaning="website"),
            fact("website_domain", description="Host of the website, for matching."),
            *address_facts(),
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
            *TERRITORY_FACTS,
            *RECORD_FACTS,
        ),
        internal=RECORD_INTERNAL | {"email_norm", "phone_norm", "search_vector"},
        writes=Writes(
            operations.create_leads,
            operations.update_leads,
            operations.delete_leads,
            operations.restore_leads,
            judge=operations.judge_leads,
        ),
        title=("full_name", "company_name"),
        events={
            "status_changed": changed_field("status"),
            "assigned": changed_field("owner"),
            "converted": became("status", "converted"),
        },
    )
)
