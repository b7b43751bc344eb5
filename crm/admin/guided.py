"""Guided actions on leads and deals: the bodies of the API's actions as forms."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django import forms
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from core.access import view
from core.backoffice.entity_admin import EntityAdmin
from core.backoffice.forms import choice_select, search_select, text_input
from core.backoffice.guided import guided_page
from core.backoffice.values import record_url
from core.backoffice.writing import actor_of
from core.entities import entities
from core.kernel.errors import Forbidden
from core.tenancy.actors import Actor
from crm import operations
from crm.models import LostReason, PipelineStage
from crm.serializers import ConvertInput, DisqualifyInput, LoseInput, MoveInput, ReopenInput


def _begin(admin: EntityAdmin, request: HttpRequest, record_id: UUID) -> tuple[Actor, Any]:
    """Raises: Forbidden, Http404."""
    if not admin.has_change_permission(request):
        raise Forbidden()
    return actor_of(request), admin.get_record(request, str(record_id))


def _optional(label: str, widget: forms.Widget, help_text: str = "") -> forms.CharField:
    # Whether something must be said is the operation's to decide.
    return forms.CharField(label=label, required=False, widget=widget, help_text=help_text)


def _stages(actor: Actor, pipeline_id: UUID, *kinds: str) -> list[tuple[str, str]]:
    stages = view("pipeline_stage", actor).records().filter(pipeline=pipeline_id, is_active=True)
    if kinds:
        stages = stages.filter(stage_type__in=kinds)
    return [
        (str(stage.pk), f"{stage.name} ({stage.probability} %)")
        for stage in stages.order_by("order").only("pk", "name", "probability")
    ]


def _reasons(actor: Actor, applies_to: str) -> list[tuple[str, str]]:
    reasons = view("lost_reason", actor).records().filter(is_active=True, applies_to=applies_to)
    return [
        ("", "—"),
        *((str(item.pk), item.name) for item in reasons.order_by("order", "name").only("pk", "name")),
    ]


# --- leads ---------------------------------------------------------------------------------------------------------


def convert(admin: EntityAdmin, request: HttpRequest, record_id: UUID) -> HttpResponse:
    """A lead becomes an account, a contact and a deal."""
    actor, lead = _begin(admin, request, record_id)

    def act(filled: dict[str, Any]) -> tuple[str, str]:
        if not filled.get("create_deal"):
            filled = {"create_deal": False} | {
                name: filled[name] for name in ("account", "contact") if name in filled
            }
        body = ConvertInput.read(filled)
        options = operations.ConversionOptions(
            account_id=body.get("account"),
            contact_id=body.get("contact"),
            create_deal=body["create_deal"],
            deal_name=body.get("deal_name", ""),
            deal_amount=body.get("deal_amount"),
            close_date=body.get("close_date"),
            stage_id=body.get("stage"),
        )
        made = operations.convert_lead(
            actor=actor,
            lead_id=lead.pk,
            now=timezone.now(),
            options=options,
            expected_version=lead.version,
        )
        target, target_id = next(
            (name, found)
            for name, found in (
                ("deal", made.deal_id),
                ("account", made.account_id),
                ("contact", made.contact_id),
                ("lead", made.lead_id),
            )
            if found is not None
        )
        said = "The lead had been converted before." if made.repeated else "The lead was converted."
        return record_url(entities[target], target_id), said

    default = view("pipeline", actor).records().filter(is_default=True).values_list("pk", flat=True).first()
    stages = _stages(actor, default, "open") if default else []
    return guided_page(
        admin,
        request,
        lead,
        title=f"Convert {lead}",
        submit_label="Convert",
        lead_in="An account and a contact are linked where they are known, else made; activities, tasks and notes "
        "come along.",
        fields={
            "account": _optional(
                "Account",
                search_select("account", actor),
                "Empty: the one of the same name or web domain, else a new one.",
            ),
            "contact": _optional(
                "Contact",
                search_select("contact", actor),
                "Empty: the one with the same e-mail address, else a new one.",
            ),
            "create_deal": forms.BooleanField(label="Open a deal", required=False, initial=True),
            "deal_name": _optional("Name of the deal", text_input()),
            "deal_amount": _optional("Amount", text_input(inputmode="decimal")),
            "close_date": _optional("Expected close", text_input("date")),
            "stage": _optional("Stage", choice_select([("", "First stage"), *stages])),
        },
        initial={
            "deal_name": lead.company_name or str(lead),
            "deal_amount": lead.estimated_value if lead.estimated_value is not None else "",
        },
        aliases={
            "deal.name": "deal_name",
            "deal.amount": "deal_amount",
            "deal.close_date": "close_date",
            "deal.stage": "stage",
            "account.name": "account",
        },
        act=act,
    )


def qualify(admin: EntityAdmin, request: HttpRequest, record_id: UUID) -> HttpResponse:
    """Make a lead qualified."""
    actor, lead = _begin(admin, request, record_id)

    def act(filled: dict[str, Any]) -> tuple[str, str]:
        operations.qualify_lead(
            actor=actor, lead_id=lead.pk, now=timezone.now(), expected_version=lead.version
        )
        return admin.record_url(lead.pk), "The lead is qualified."

    return guided_page(
        admin, request, lead, title=f"Qualify {lead}", submit_label="Qualify", fields={}, act=act,
        lead_in="The lead is worth pursuing; it can be converted next.",
    )  # fmt: skip


def disqualify(admin: EntityAdmin, request: HttpRequest, record_id: UUID) -> HttpResponse:
    """Turn a lead down, with a reason."""
    actor, lead = _begin(admin, request, record_id)

    def act(filled: dict[str, Any]) -> tuple[str, str]:
        body = DisqualifyInput.read(filled)
        operations.disqualify_lead(
            actor=actor,
            lead_id=lead.pk,
            now=timezone.now(),
            reason_id=body.get("reason"),
            status_reason=body.get("status_reason", ""),
            expected_version=lead.version,
        )
        return admin.record_url(lead.pk), "The lead is unqualified."

    return guided_page(
        admin,
        request,
        lead,
        title=f"Disqualify {lead}",
        submit_label="Disqualify",
        fields={
            "reason": _optional("Reason", choice_select(_reasons(actor, "lead"))),
            "status_reason": _optional("In words", text_input()),
        },
        act=act,
    )


# --- deals ---------------------------------------------------------------------------------------------------------


def move(admin: EntityAdmin, request: HttpRequest, record_id: UUID) -> HttpResponse:
    """Put a deal into another stage. What the stage requires is said at once."""
    actor, deal = _begin(admin, request, record_id)

    def act(filled: dict[str, Any]) -> tuple[str, str]:
        body = MoveInput.read(filled)
        operations.move_deal(
            actor=actor,
            deal_id=deal.pk,
            stage_id=body["stage"],
            now=timezone.now(),
            lost_reason_id=body.get("lost_reason"),
            lost_notes=body.get("lost_notes"),
            expected_version=deal.version,
        ).raise_if_refused()
        stage = PipelineStage.objects.only("name").get(pk=body["stage"])
        return admin.record_url(deal.pk), f"The deal is in {stage.name} now."

    stages = [item for item in _stages(actor, deal.pipeline_id) if item[0] != str(deal.stage_id)]
    fields: dict[str, forms.Field] = {
        "stage": forms.CharField(label="Stage", widget=choice_select(stages)),
        "lost_reason": _optional(
            "Reason", choice_select(_reasons(actor, "deal")), "Only when the deal is lost."
        ),
        "lost_notes": _optional("Notes", text_input(), "Only when the deal is lost."),
    }
    return guided_page(
        admin,
        request,
        deal,
        title=f"Move {deal}",
        submit_label="Move",
        fields=fields,
        lead_in=f"The deal is in {deal.related_names.get('stage') or 'its stage'}.",
        act=act,
    )


def win(admin: EntityAdmin, request: HttpRequest, record_id: UUID) -> HttpResponse:
    """Close a deal as won."""
    actor, deal = _begin(admin, request, record_id)

    def act(filled: dict[str, Any]) -> tuple[str, str]:
        operations.win_deal(
            actor=actor, deal_id=deal.pk, now=timezone.now(), expected_version=deal.version
        ).raise_if_refused()
        return admin.record_url(deal.pk), "Won!"

    return guided_page(
        admin, request, deal, title=f"Win {deal}", submit_label="Mark as won", fields={}, act=act,
        lead_in="The deal is closed as won.",
    )  # fmt: skip


def lose(admin: EntityAdmin, request: HttpRequest, record_id: UUID) -> HttpResponse:
    """Close a deal as lost, with the reason."""
    actor, deal = _begin(admin, request, record_id)

    def act(filled: dict[str, Any]) -> tuple[str, str]:
        body = LoseInput.read(filled)
        operations.lose_deal(
            actor=actor,
            deal_id=deal.pk,
            lost_reason_id=body["lost_reason"],
            lost_notes=body.get("lost_notes"),
            now=timezone.now(),
            expected_version=deal.version,
        ).raise_if_refused()
        reason = LostReason.objects.only("name").get(pk=body["lost_reason"])
        return admin.record_url(deal.pk), f"The deal is lost: {reason.name}."

    return guided_page(
        admin,
        request,
        deal,
        title=f"Lose {deal}",
        submit_label="Mark as lost",
        fields={
            "lost_reason": _optional("Reason", choice_select(_reasons(actor, "deal"))),
            "lost_notes": _optional("Notes", text_input()),
        },
        act=act,
    )


def reopen(admin: EntityAdmin, request: HttpRequest, record_id: UUID) -> HttpResponse:
    """Open a closed deal again."""
    actor, deal = _begin(admin, request, record_id)

    def act(filled: dict[str, Any]) -> tuple[str, str]:
        body = ReopenInput.read(filled)
        operations.reopen_deal(
            actor=actor,
            deal_id=deal.pk,
            now=timezone.now(),
            stage_id=body.get("stage"),
            expected_version=deal.version,
        ).raise_if_refused()
        return admin.record_url(deal.pk), "The deal is open again."

    stages = _stages(actor, deal.pipeline_id, "open")
    return guided_page(
        admin,
        request,
        deal,
        title=f"Reopen {deal}",
        submit_label="Reopen",
        fields={"stage": _optional("Stage", choice_select([("", "The one it was closed from"), *stages]))},
        act=act,
    )
