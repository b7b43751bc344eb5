"""What can be done with leads and deals beyond changing their fields."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

from core.entities import Action, argument, register_action
from core.entities.kinds import MAX_LONG_TEXT, Kind
from core.tenancy.actors import Actor
from crm import operations
from crm.models.choices import LEAD_STATUS_TYPES, LeadStatus, LeadStatusType

MAX_NOTES = MAX_LONG_TEXT // 10


def _is_in_work(lead: Any) -> bool:
    return LEAD_STATUS_TYPES.get(lead.status) is not LeadStatusType.WON


def _is_open(deal: Any) -> bool:
    return bool(deal.status == "open")


def _convert(
    *,
    actor: Actor,
    lead_id: UUID,
    now: datetime,
    expected_version: int | None,
    dry_run: bool = False,
    converted_status: str = "",
    **options: Any,
) -> operations.Conversion:
    """`convert_lead` with its options one by one."""
    return operations.convert_lead(
        actor=actor,
        lead_id=lead_id,
        now=now,
        options=operations.ConversionOptions(**options),
        expected_version=expected_version,
        dry_run=dry_run,
    )


register_action(
    Action(
        entity="lead",
        name="convert",
        run=_convert,
        dry_run=partial(_convert, dry_run=True),
        label="Convert",
        description="Make an account, a contact and a deal of the lead. Again, it answers what the first time made.",
        input=(
            argument(
                "account",
                Kind.RELATION,
                to="account",
                description="Link this account; else one of the same name or web domain, or a new one.",
            ),
            argument(
                "contact",
                Kind.RELATION,
                to="contact",
                description="Link this contact; else one with the same email address, or a new one.",
            ),
            argument("create_deal", Kind.BOOLEAN, label="Open a deal", default=True),
            argument("deal_name", Kind.TEXT, label="Name of the deal", max_length=255),
            argument(
                "deal_amount",
                Kind.MONEY,
                label="Amount",
                minimum=0,
                description="Else the lead's estimated value.",
            ),
            argument(
                "close_date",
                Kind.DATE,
                label="Expected close",
                description="Else the end of the quarter.",
            ),
            argument("pipeline", Kind.RELATION, to="pipeline"),
            argument("stage", Kind.RELATION, to="pipeline_stage"),
            argument(
                "converted_status",
                Kind.CHOICE,
                choices=((LeadStatus.CONVERTED.value, str(LeadStatus.CONVERTED.label)),),
            ),
            argument(
                "overwrite_source",
                Kind.BOOLEAN,
                default=False,
                description="The lead's source replaces that of the linked account and contact.",
            ),
        ),
        output=(
            argument("lead", Kind.RELATION, to="lead"),
            argument("account", Kind.RELATION, to="account", nullable=True),
            argument("contact", Kind.RELATION, to="contact", nullable=True),
            argument("deal", Kind.RELATION, to="deal", nullable=True),
            argument("creates_account", Kind.BOOLEAN, description="Made anew, not linked."),
            argument("creates_contact", Kind.BOOLEAN, description="Made anew, not linked."),
            argument("creates_deal", Kind.BOOLEAN),
            argument(
                "repeated",
                Kind.BOOLEAN,
                description="The lead was already converted; this is what came of it.",
            ),
        ),
        is_offered=_is_in_work,
    )
)

register_action(
    Action(
        entity="lead",
        name="qualify",
        run=operations.qualify_lead,
        label="Qualify",
        description="Make the lead qualified.",
        is_offered=lambda lead: _is_in_work(lead) and lead.status != LeadStatus.QUALIFIED,
    )
)

register_action(
    Action(
        entity="lead",
        name="disqualify",
        run=operations.disqualify_lead,
        label="Disqualify",
        description="Make the lead unqualified, with a reason.",
        input=(
            argument(
                "reason",
                Kind.RELATION,
                to="lost_reason",
                description="One of the lost reasons for leads.",
            ),
            argument("status_reason", Kind.TEXT, label="In words", max_length=255),
        ),
        is_offered=lambda lead: (
            LEAD_STATUS_TYPES.get(lead.status) not in (LeadStatusType.WON, LeadStatusType.LOST)
        ),
    )
)

register_action(
    Action(
        entity="lead",
        name="assign",
        run=operations.assign_lead,
        label="Assign",
        description="Give the lead to another owner.",
        input=(argument("owner", Kind.PERSON, required=True),),
    )
)

_LOST_NOTES = argument("lost_notes", Kind.LONG_TEXT, label="Notes", max_length=MAX_NOTES)

register_action(
    Action(
        entity="deal",
        name="move",
        run=operations.move_deal,
        label="Move",
        description="Put the deal into another stage.",
        input=(
            argument("stage", Kind.RELATION, to="pipeline_stage", required=True),
            argument(
                "lost_reason",
                Kind.RELATION,
                to="lost_reason",
                label="Reason",
                description="Only when the deal is lost.",
            ),
            _LOST_NOTES,
        ),
        is_offered=_is_open,
    )
)

register_action(
    Action(
        entity="deal",
        name="win",
        run=operations.win_deal,
        label="Win",
        description="Put the deal into its pipeline's won stage.",
        is_offered=_is_open,
    )
)

register_action(
    Action(
        entity="deal",
        name="lose",
        run=operations.lose_deal,
        label="Lose",
        description="Put the deal into its pipeline's lost stage, with a reason.",
        input=(
            argument("lost_reason", Kind.RELATION, to="lost_reason", required=True, label="Reason"),
            _LOST_NOTES,
        ),
        is_offered=_is_open,
    )
)

register_action(
    Action(
        entity="deal",
        name="reopen",
        run=operations.reopen_deal,
        label="Reopen",
        description="Open a closed deal again.",
        input=(
            argument(
                "stage",
                Kind.RELATION,
                to="pipeline_stage",
                description="An open stage; else the one the deal was closed from.",
            ),
        ),
        is_offered=lambda deal: not _is_open(deal),
    )
)
