"""Choices, texts and icons for the pages of actions on leads and deals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from core.access import view
from core.access.actions import Performed
from core.backoffice.entity_admin import EntityAdmin
from core.backoffice.guided import Choices, Guide
from core.backoffice.values import record_url
from core.entities import entities
from core.tenancy.actors import Actor
from crm.models import LostReason, PipelineStage


def _stages_in(actor: Actor, pipeline_id: Any, *kinds: str) -> list[tuple[str, str]]:
    stages = view("pipeline_stage", actor).records().filter(pipeline=pipeline_id, is_active=True)
    if kinds:
        stages = stages.filter(stage_type__in=kinds)
    return [
        (str(stage.pk), f"{stage.name} ({stage.probability} %)")
        for stage in stages.order_by("order").only("pk", "name", "probability")
    ]


def _first_stages(actor: Actor, lead: Any) -> list[tuple[str, str]]:
    pipelines = view("pipeline", actor).records().filter(is_default=True)
    default = pipelines.values_list("pk", flat=True).first()
    return [("", "First stage"), *(_stages_in(actor, default, "open") if default else [])]


def _other_stages(actor: Actor, deal: Any) -> list[tuple[str, str]]:
    return [item for item in _stages_in(actor, deal.pipeline_id) if item[0] != str(deal.stage_id)]


def _stages_to_reopen(actor: Actor, deal: Any) -> list[tuple[str, str]]:
    return [("", "The one it was closed from"), *_stages_in(actor, deal.pipeline_id, "open")]


def _reasons(applies_to: str) -> Choices:
    def choices(actor: Actor, record: Any) -> list[tuple[str, str]]:
        reasons = view("lost_reason", actor).records().filter(is_active=True, applies_to=applies_to)
        found = reasons.order_by("order", "name").only("pk", "name")
        return [("", "—"), *((str(item.pk), item.name) for item in found)]

    return choices


def _converted(admin: EntityAdmin, actor: Actor, lead: Any, performed: Performed, filled: Any) -> str:
    repeated = (performed.output or {})["repeated"]
    return "This lead has already been converted." if repeated else "The lead was converted."


def _what_came_of_it(admin: EntityAdmin, performed: Performed) -> str:
    made = performed.output or {}
    target = next(name for name in ("deal", "account", "contact", "lead") if made[name] is not None)
    return record_url(entities[target], made[target])


def _moved(admin: EntityAdmin, actor: Actor, deal: Any, performed: Performed, filled: Any) -> str:
    return f"The deal is in {PipelineStage.objects.only('name').get(pk=filled['stage']).name} now."


def _lost(admin: EntityAdmin, actor: Actor, deal: Any, performed: Performed, filled: Any) -> str:
    return f"The deal is lost: {LostReason.objects.only('name').get(pk=filled['lost_reason']).name}."


LEAD_GUIDES: Mapping[str, Guide] = {
    "convert": Guide(
        icon="published_with_changes",
        lead_in="An existing account and contact are linked, otherwise new ones are created. Activities, tasks and "
        "notes move along.",
        fields=("account", "contact", "create_deal", "deal_name", "deal_amount", "close_date", "stage"),
        choices={"stage": _first_stages},
        help_texts={
            "account": "Empty: the one of the same name or web domain, else a new one.",
            "contact": "Empty: the one with the same email address, else a new one.",
            "deal_amount": "",
            "close_date": "",
        },
        initial=lambda lead: {
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
        done=_converted,
        target=_what_came_of_it,
    ),
    "qualify": Guide(
        icon="verified",
        lead_in="The lead is worth pursuing; it can be converted next.",
        done="The lead is qualified.",
    ),
    "disqualify": Guide(icon="block", choices={"reason": _reasons("lead")}, done="The lead is unqualified."),
    "assign": Guide(icon="person_add", done="The lead has a new owner."),
}

DEAL_GUIDES: Mapping[str, Guide] = {
    "move": Guide(
        icon="moving",
        lead_in=lambda deal: f"The deal is in {deal.related_names.get('stage') or 'its stage'}.",
        choices={"stage": _other_stages, "lost_reason": _reasons("deal")},
        help_texts={"lost_notes": "Only when the deal is lost."},
        done=_moved,
    ),
    "win": Guide(
        icon="emoji_events",
        submit_label="Mark as won",
        lead_in="The deal is closed as won.",
        done="Won!",
    ),
    "lose": Guide(
        icon="thumb_down",
        submit_label="Mark as lost",
        choices={"lost_reason": _reasons("deal")},
        done=_lost,
    ),
    "reopen": Guide(
        icon="lock_open",
        choices={"stage": _stages_to_reopen},
        help_texts={"stage": ""},
        done="The deal is open again.",
    ),
}
