"""Accounts and contacts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from core.entities import RECORD_FACTS, RECORD_INTERNAL, Entity, Writes, fact, register
from core.entities.kinds import Kind
from crm import operations
from crm.entities.facts import address_facts, person_reach_facts
from territories.entities import TERRITORY_FACTS


def _opted_out(changed: frozenset[str], old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    return any(name in changed and new.get(name) is True for name in ("email_opt_out", "do_not_call"))


ACCOUNT = register(
    Entity(
        name="account",
        plural="accounts",
        description="Organizations the company does business with.",
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
            *address_facts("billing_"),
            *address_facts("shipping_"),
            fact("last_activity_at", read_only=True),
            *TERRITORY_FACTS,
            *RECORD_FACTS,
        ),
        internal=RECORD_INTERNAL | {"name_norm", "email_norm", "phone_norm", "search_vector"},
        writes=Writes(
            operations.create_accounts,
            operations.update_accounts,
            operations.delete_accounts,
            operations.restore_accounts,
            judge=operations.judge_accounts,
        ),
    )
)


CONTACT = register(
    Entity(
        name="contact",
        plural="contacts",
        description="People.",
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
            *person_reach_facts(),
            fact("lead_source", meaning="source"),
            fact("lifecycle_stage"),
            fact("birth_date", pii=True),
            fact("preferred_language"),
            fact("preferred_channel"),
            fact("do_not_call"),
            fact("email_opt_out"),
            *address_facts("mailing_", pii=True),
            fact("description", search="D"),
            fact("last_contacted_at", read_only=True),
            *TERRITORY_FACTS,
            *RECORD_FACTS,
        ),
        internal=RECORD_INTERNAL | {"email_norm", "phone_norm", "search_vector"},
        writes=Writes(
            operations.create_contacts,
            operations.update_contacts,
            operations.delete_contacts,
            operations.restore_contacts,
            judge=operations.judge_contacts,
        ),
        title=("full_name",),
        events={"opted_out": _opted_out},
    )
)
