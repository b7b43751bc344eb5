"""Writes of leads. Conversion has its own room."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from core.changes import Rows, Rule
from core.tenancy.actors import Actor
from crm.models import Lead
from crm.models.choices import LeadStatus
from crm.operations.records import CURRENCY, OWNER, RecordOperations, record_spec

# What says who the lead is: conversion copied it, so it stays as it was then.
IDENTITY_FIELDS = ("first_name", "last_name", "company_name", "email", "phone", "mobile", "website")

LEADS = RecordOperations(
    record_spec(
        Lead,
        derive={
            "currency": CURRENCY,
            "assigned_at": f"CASE WHEN ({OWNER}) IS NOT DISTINCT FROM o.owner_id THEN o.assigned_at "
            f"WHEN ({OWNER}) IS NOT NULL THEN %(now)s::timestamptz END",
            "qualified_at": "CASE WHEN n.status = 'qualified' AND o.status IS DISTINCT FROM 'qualified' "
            "THEN %(now)s::timestamptz ELSE o.qualified_at END",
            # A lead that is taken up again is not disqualified any more.
            "disqualified_reason_id": "CASE WHEN o.status = 'unqualified' AND n.status <> 'unqualified' "
            "AND n.disqualified_reason_id IS NOT DISTINCT FROM o.disqualified_reason_id THEN NULL "
            "ELSE n.disqualified_reason_id END",
        },
        rules=(
            *(
                Rule(
                    "converted",
                    name,
                    "A converted lead keeps who it was.",
                    f"o.status = 'converted' AND n.{name} <> o.{name}",
                )
                for name in IDENTITY_FIELDS
            ),
            Rule(
                "not_for_leads",
                "disqualified_reason",
                "This reason is not for leads.",
                "EXISTS (SELECT FROM crm_lostreason x WHERE x.company_id = %(company)s::uuid "
                "AND x.id = n.disqualified_reason_id AND x.applies_to <> 'lead')",
            ),
        ),
    )
)

create_leads, update_leads = LEADS.create, LEADS.update
delete_leads, restore_leads, judge_leads = LEADS.delete, LEADS.restore, LEADS.judge


def qualify_lead(*, actor: Actor, lead_id: UUID, now: datetime, expected_version: int | None = None) -> None:
    """Make the lead qualified. Needs a transaction.

    Raises: NotFound, Stale, Invalid (`converted`).
    """
    row = {"id": lead_id, "status": LeadStatus.QUALIFIED.value, "expected_version": expected_version}
    update_leads(actor=actor, rows=Rows.of(Lead, [row]), now=now).raise_if_refused()


def disqualify_lead(
    *,
    actor: Actor,
    lead_id: UUID,
    now: datetime,
    reason_id: UUID | None = None,
    status_reason: str = "",
    expected_version: int | None = None,
) -> None:
    """Make the lead unqualified, with a reason of the list, in words, or none. Needs a transaction.

    Raises: NotFound, Stale, Invalid (`converted`, `does_not_exist`, `not_for_leads`).
    """
    row = {
        "id": lead_id,
        "status": LeadStatus.UNQUALIFIED.value,
        "disqualified_reason": reason_id,
        "status_reason": status_reason,
        "expected_version": expected_version,
    }
    update_leads(actor=actor, rows=Rows.of(Lead, [row]), now=now).raise_if_refused()


def assign_lead(
    *, actor: Actor, lead_id: UUID, owner_id: UUID, now: datetime, expected_version: int | None = None
) -> None:
    """Give the lead to another owner. Needs a transaction.

    Raises: NotFound, Stale, Invalid (`does_not_exist`).
    """
    row = {"id": lead_id, "owner": owner_id, "expected_version": expected_version}
    update_leads(actor=actor, rows=Rows.of(Lead, [row]), now=now).raise_if_refused()
