"""A lead becomes an account, a contact and a deal."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db import models
from django.db.models import Q
from django.db.models.expressions import RawSQL

from core.access import view
from core.changes import Outcome, Rows, WriteSpec, update
from core.changes.rules import take_turns
from core.kernel.errors import Fault, Invalid, NotFound, Stale
from core.kernel.transactions import needs_transaction
from core.tenancy.actors import Actor
from crm.models import Account, Activity, Contact, Deal, Lead, Note, Task
from crm.models.choices import LeadStatus
from crm.models.columns import squeezed
from crm.operations.deals import create_deals
from crm.operations.parties import create_accounts, create_contacts, update_accounts, update_contacts

# Conversion itself is the one writer of these columns.
_CONVERTED = WriteSpec(Lead)
_FOLLOWERS = {model: WriteSpec(model) for model in (Activity, Task, Note)}
_ADDRESS = ("street", "city", "state", "postal_code", "country")


@dataclass(frozen=True, slots=True)
class ConversionOptions:
    """How to convert. Without ids, an account of the same name or web domain is used, or a new one made; and a contact
    of that account with the same e-mail address, or a new one."""

    account_id: UUID | None = None
    contact_id: UUID | None = None
    create_deal: bool = True
    deal_name: str = ""
    deal_amount: Decimal | None = None
    close_date: date | None = None
    pipeline_id: UUID | None = None
    stage_id: UUID | None = None
    # The lead's source replaces that of the linked account and contact.
    overwrite_source: bool = False


@dataclass(frozen=True, slots=True)
class Conversion:
    """What conversion made or linked. After a dry run, what would be made has no id yet."""

    lead_id: UUID
    account_id: UUID | None
    contact_id: UUID | None
    deal_id: UUID | None
    creates_account: bool = False
    creates_contact: bool = False
    creates_deal: bool = False
    # The lead was converted before; this is what came of it then.
    repeated: bool = False


def convert_lead(
    *,
    actor: Actor,
    lead_id: UUID,
    now: datetime,
    options: ConversionOptions | None = None,
    expected_version: int | None = None,
    dry_run: bool = False,
) -> Conversion:
    """Convert the lead; its activities, tasks and notes appear at what came of it. Needs a transaction; locks the lead.

    Converting again answers what the first time made. Raises: NotFound, Stale, Forbidden (what must be created may not
    be), Invalid (faults below `account`, `contact` or `deal`).
    """
    needs_transaction()
    options = options or ConversionOptions()
    lead = Lead.objects.select_for_update().filter(pk=lead_id, deleted_at__isnull=True).first()
    if lead is None:
        raise NotFound()
    if lead.status == LeadStatus.CONVERTED:
        return Conversion(
            lead.pk,
            lead.converted_account_id,
            lead.converted_contact_id,
            lead.converted_deal_id,
            repeated=True,
        )
    if expected_version is not None and expected_version != lead.version:
        raise Stale()
    contact = _given_contact(actor, options)
    account = _given_account(actor, options, contact) or _matching_account(actor, lead)
    makes_account = account is None and bool(lead.company_name)
    contact = contact or _matching_contact(actor, lead, account)
    makes_contact = contact is None and bool(lead.last_name)
    for entity, makes in (
        ("account", makes_account),
        ("contact", makes_contact),
        ("deal", options.create_deal),
    ):
        if makes:
            view(entity, actor).require("create")
    account_id, contact_id, deal_id = account and account.pk, contact and contact.pk, None
    if not dry_run:
        if makes_account:
            account_id = _created("account", create_accounts, Account, _account_of(lead), actor, now)
        if makes_contact:
            contact_id = _created(
                "contact", create_contacts, Contact, _contact_of(lead, account_id), actor, now
            )
        if options.create_deal:
            document = _deal_of(lead, options, account_id, contact_id, now)
            deal_id = _created("deal", create_deals, Deal, document, actor, now)
        if options.overwrite_source and lead.source:
            _overwrite_source(lead, account, contact, actor, now)
        _close(lead, account_id, contact_id, deal_id, actor, now)
        _move_followers(lead, account_id, contact_id, deal_id, actor, now)
    return Conversion(
        lead.pk, account_id, contact_id, deal_id, makes_account, makes_contact, options.create_deal
    )


def record_conversions(*, actor: Actor, rows: Rows, now: datetime, all_or_none: bool = True) -> Outcome:
    """Note what leads have become, where those records exist. Needs a transaction.

    Rows set `status`, `converted_at`, `converted_by` and the three `converted_…` references.
    """
    return update(_CONVERTED, rows, actor=actor, now=now, all_or_none=all_or_none)


# --- what exists -------------------------------------------------------------------------------------------


def _given_account(actor: Actor, options: ConversionOptions, contact: Any) -> Any:
    if options.account_id is None:
        return contact.account if contact is not None else None
    return _visible("account", options.account_id, actor)


def _given_contact(actor: Actor, options: ConversionOptions) -> Any:
    return None if options.contact_id is None else _visible("contact", options.contact_id, actor)


def _visible(entity: str, record_id: UUID, actor: Actor) -> Any:
    found = view(entity, actor).records().filter(pk=record_id).first()
    if found is None:
        raise Invalid(faults=[Fault(entity, "does_not_exist", "There is no such record.")])
    return found


def _matching_account(actor: Actor, lead: Any) -> Any:
    """The oldest account the actor sees that has the lead's company name or web domain."""
    name = lead.company_name.strip()
    if not name and not lead.website_domain:
        return None
    # Two leads of one new company converted at once make one account.
    take_turns(f"{lead.company_id}:convert:{name.lower() or lead.website_domain}")
    same = Q(pk__in=[])
    if name:
        same |= Q(name_norm=RawSQL(squeezed("%s::text"), [name]))
    if lead.website_domain:
        same |= Q(website_domain=lead.website_domain)
    return view("account", actor).records().filter(same).order_by("created_at", "pk").first()


def _matching_contact(actor: Actor, lead: Any, account: Any) -> Any:
    """The oldest contact with the lead's e-mail address at that account, or at none."""
    if not lead.email_norm:
        return None
    at = Q(account__isnull=True) if account is None else Q(account__isnull=True) | Q(account=account)
    seen = view("contact", actor).records()
    return seen.filter(at, email_norm=lead.email_norm).order_by("created_at", "pk").first()


# --- what is made ------------------------------------------------------------------------------------------


def _territory_of(lead: Any) -> dict[str, Any]:
    """What a lead becomes stays where the lead was."""
    return {"territory": lead.territory_id, "territory_pinned": lead.territory_pinned}


def _account_of(lead: Any) -> dict[str, Any]:
    return {
        "name": lead.company_name,
        "website": lead.website,
        "phone": lead.phone,
        "industry": lead.industry,
        "annual_revenue": lead.annual_revenue,
        "currency": lead.currency,
        "number_of_employees": lead.number_of_employees,
        "source": lead.source,
        "owner": lead.owner_id,
        "tags": lead.tags,
        **_territory_of(lead),
        **{f"billing_{part}": getattr(lead, part) for part in _ADDRESS},
    }


def _contact_of(lead: Any, account_id: UUID | None) -> dict[str, Any]:
    same = (
        "salutation",
        "first_name",
        "last_name",
        "title",
        "email",
        "phone",
        "mobile",
        "description",
        "tags",
    )
    return {
        **{name: getattr(lead, name) for name in same},
        "account": account_id,
        "lead_source": lead.source,
        "lifecycle_stage": "opportunity",
        "do_not_call": lead.do_not_call,
        "email_opt_out": lead.email_opt_out,
        "owner": lead.owner_id,
        **_territory_of(lead),
        **{f"mailing_{part}": getattr(lead, part) for part in _ADDRESS},
    }


def _deal_of(
    lead: Any, options: ConversionOptions, account_id: UUID | None, contact_id: UUID | None, now: datetime
) -> dict[str, Any]:
    amount = options.deal_amount if options.deal_amount is not None else lead.estimated_value
    document = {
        "name": options.deal_name.strip() or lead.company_name or lead.full_name,
        "account": account_id,
        "primary_contact": contact_id,
        "lead": lead.pk,
        "amount": amount or Decimal(0),
        "currency": lead.currency,
        "close_date": options.close_date or quarter_end(now.date()),
        "source": lead.source,
        "owner": lead.owner_id,
        "tags": lead.tags,
        **_territory_of(lead),
    }
    if options.pipeline_id is not None:
        document["pipeline"] = options.pipeline_id
    if options.stage_id is not None:
        document["stage"] = options.stage_id
    return document


def quarter_end(day: date) -> date:
    """The last day of the calendar quarter: when a new deal is expected to close until somebody knows better."""
    month = (day.month - 1) // 3 * 3 + 4
    first_after = date(day.year + (month > 12), month - 12 if month > 12 else month, 1)
    return first_after - timedelta(days=1)


def _created(
    path: str,
    create: Callable[..., Outcome],
    model: type[models.Model],
    document: Mapping[str, Any],
    actor: Actor,
    now: datetime,
) -> UUID:
    outcome = create(actor=actor, rows=Rows.of(model, [document]), now=now)
    if outcome.refused:
        raise Invalid(faults=[fault.below(path) for fault in outcome.refused[0]])
    return outcome.one


def _overwrite_source(lead: Any, account: Any, contact: Any, actor: Actor, now: datetime) -> None:
    """Raises: Forbidden for a record that the actor may link but not change."""
    for name, record in (("account", account), ("contact", contact)):
        if record is not None:
            seen = view(name, actor)
            seen.require("update")
            seen.get(record.pk, verb="update")
    if account is not None:
        rows = Rows.of(Account, [{"id": account.pk, "source": lead.source}])
        update_accounts(actor=actor, rows=rows, now=now).raise_if_refused()
    if contact is not None:
        rows = Rows.of(Contact, [{"id": contact.pk, "lead_source": lead.source}])
        update_contacts(actor=actor, rows=rows, now=now).raise_if_refused()


def _close(
    lead: Any,
    account_id: UUID | None,
    contact_id: UUID | None,
    deal_id: UUID | None,
    actor: Actor,
    now: datetime,
) -> None:
    row = {
        "id": lead.pk,
        "status": LeadStatus.CONVERTED.value,
        "converted_at": now,
        "converted_by": actor.user_id,
        "converted_account": account_id,
        "converted_contact": contact_id,
        "converted_deal": deal_id,
    }
    record_conversions(actor=actor, rows=Rows.of(Lead, [row]), now=now).raise_if_refused()


def _move_followers(
    lead: Any,
    account_id: UUID | None,
    contact_id: UUID | None,
    deal_id: UUID | None,
    actor: Actor,
    now: datetime,
) -> None:
    """What was about the lead is about what came of it too; the lead keeps its history."""
    for model, spec in _FOLLOWERS.items():
        rows = Rows.select(
            "SELECT (row_number() OVER (ORDER BY t.id) - 1)::int AS ord, t.id, "
            "coalesce(t.account_id, %s::uuid) AS account_id, coalesce(t.contact_id, %s::uuid) AS contact_id, "
            f"coalesce(t.deal_id, %s::uuid) AS deal_id FROM {model._meta.db_table} t "
            "WHERE t.company_id = %s AND t.lead_id = %s AND t.deleted_at IS NULL",
            [account_id, contact_id, deal_id, lead.company_id, lead.pk],
            ["account_id", "contact_id", "deal_id"],
        )
        update(spec, rows, actor=actor, now=now).raise_if_refused()
