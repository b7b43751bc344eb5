"""Writes of pipelines and their stages."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

from core.changes import Outcome, Rows, Rule, WriteSpec, erase, insert, update
from core.changes.rules import PlainOperations, fixed, in_use
from core.kernel.errors import Fault, Invalid
from core.tenancy.actors import Actor
from core.tenancy.postgresql.base import database
from crm.models import Pipeline, PipelineStage
from crm.operations.deals import REQUIRABLE

# name, code, order, stage type, probability, forecast category. The order leaves room for more.
DEFAULT_STAGES = (
    ("Prospecting", "prospecting", 100, "open", 10, "pipeline"),
    ("Qualification", "qualification", 200, "open", 20, "pipeline"),
    ("Proposal", "proposal", 300, "open", 50, "best_case"),
    ("Negotiation", "negotiation", 400, "open", 75, "commit"),
    ("Closed won", "closed_won", 900, "won", 100, "closed"),
    ("Closed lost", "closed_lost", 1000, "lost", 0, "omitted"),
)

_SLUG = "coalesce(nullif(n.code, ''), btrim(regexp_replace(lower(n.name), '[^a-z0-9]+', '_', 'g'), '_'))"
_STAGE_VALUES = ", ".join(
    f"('{name}', '{code}', {order}, '{kind}', {probability}, '{category}')"
    for name, code, order, kind, probability, category in DEFAULT_STAGES
)
_WITH_STAGES = f"""
INSERT INTO crm_pipelinestage (id, company_id, created_at, updated_at, created_by_id, updated_by_id,
  pipeline_id, name, code, "order", stage_type, probability, forecast_category)
SELECT uuidv7(), w.new_company_id, %(now)s::timestamptz, %(now)s::timestamptz, %(user)s::uuid, %(user)s::uuid,
  w.new_id, s.* FROM written w CROSS JOIN (VALUES {_STAGE_VALUES}) AS s
"""

_CREATION = WriteSpec(
    Pipeline,
    derive={
        "code": _SLUG,
        # A company with pipelines has a default one.
        "is_default": "n.is_default OR (n.ord = 0 AND NOT EXISTS (SELECT FROM crm_pipeline x "
        "WHERE x.company_id = %(company)s::uuid AND x.is_default))",
    },
    also={"stages": _WITH_STAGES},
)
_CHANGE = WriteSpec(
    Pipeline,
    derive={"code": _SLUG},
    rules=(
        Rule(
            "default_stays",
            "is_default",
            "Make another pipeline the default instead.",
            "g.is_default AND o.is_default AND NOT n.is_default AND NOT EXISTS ("
            "SELECT FROM crm_pipeline x WHERE x.company_id = %(company)s::uuid AND x.is_default AND x.id <> o.id)",
        ),
    ),
)
_REMOVAL = WriteSpec(
    Pipeline,
    rules=(
        Rule("conflict", "id", "The default pipeline cannot be removed.", "o.is_default"),
        in_use(
            "Deals are or were in this pipeline; make it inactive instead.",
            ("crm_deal", "pipeline_id"),
            ("crm_dealstagehistory", "from_pipeline_id"),
            ("crm_dealstagehistory", "to_pipeline_id"),
        ),
    ),
    also={
        "stages": "DELETE FROM crm_pipelinestage x WHERE x.company_id = %(company)s::uuid "
        "AND x.pipeline_id IN (SELECT old_id FROM written)"
    },
)


def create_pipelines(*, actor: Actor, rows: Rows, now: datetime, all_or_none: bool = True) -> Outcome:
    """New pipelines, each with the default stages; a company's first one is its default. Needs a transaction."""
    # Of two first ones at once, the second sees the default of the first.
    database().fetch_prepared(
        "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", (f"{actor.company_id}:default pipeline",)
    )
    _make_room_for_default(actor, rows)
    return insert(_CREATION, rows, actor=actor, now=now, all_or_none=all_or_none)


def update_pipelines(*, actor: Actor, rows: Rows, now: datetime, all_or_none: bool = True) -> Outcome:
    """Change pipelines. A new default takes the place of the old one. Needs a transaction."""
    _make_room_for_default(actor, rows)
    return update(_CHANGE, rows, actor=actor, now=now, all_or_none=all_or_none)


def delete_pipelines(*, actor: Actor, rows: Rows, now: datetime, all_or_none: bool = True) -> Outcome:
    """Remove pipelines that no deal ever used, with their stages. Needs a transaction."""
    return erase(_REMOVAL, rows, actor=actor, now=now, all_or_none=all_or_none)


def _make_room_for_default(actor: Actor, rows: Rows) -> None:
    """The default that is to be replaced steps back first: a partial unique index cannot wait for the end."""
    if "is_default" in rows.columns:
        database().fetch_prepared(
            "UPDATE crm_pipeline x SET is_default = false, version = x.version + 1 "
            f"FROM ({rows.sql}) r WHERE x.company_id = %s AND x.is_default AND r.is_default AND r.id <> x.id",
            (*rows.params, actor.company_id),
        )


judge_pipelines = PlainOperations(_CREATION, _CHANGE, _REMOVAL).judge

_STAGE_SPEC = WriteSpec(
    PipelineStage,
    derive={
        "code": _SLUG,
        "order": 'coalesce(n."order", o."order", (SELECT coalesce(max(x."order"), 0) + 10 FROM crm_pipelinestage x '
        "WHERE x.company_id = %(company)s::uuid AND x.pipeline_id = n.pipeline_id "
        "AND x.stage_type = n.stage_type) + n.ord)",
        "probability": "CASE n.stage_type WHEN 'won' THEN 100 WHEN 'lost' THEN 0 ELSE n.probability END",
        "forecast_category": "CASE n.stage_type WHEN 'won' THEN 'closed' WHEN 'lost' THEN 'omitted' "
        "ELSE n.forecast_category END",
    },
    rules=(
        fixed("pipeline_id", "pipeline", "A stage stays in its pipeline."),
        Rule(
            "conflict",
            "stage_type",
            "Deals are in this stage; its type cannot change.",
            "o.stage_type <> n.stage_type AND EXISTS (SELECT FROM crm_deal x "
            "WHERE x.company_id = %(company)s::uuid AND x.stage_id = n.id)",
        ),
        Rule(
            "not_a_choice",
            "required_fields",
            f"A list of these fields is expected: {', '.join(sorted(REQUIRABLE))}.",
            "jsonb_typeof(n.required_fields) <> 'array' "
            f"OR NOT (n.required_fields <@ '{json.dumps(sorted(REQUIRABLE))}'::jsonb)",
        ),
        Rule(
            "not_a_choice",
            "allowed_next",
            "A list of ids of stages of the same pipeline is expected.",
            "CASE WHEN jsonb_typeof(n.allowed_next) = 'array' THEN EXISTS ("
            "SELECT FROM jsonb_array_elements(n.allowed_next) AS given(id) WHERE NOT EXISTS ("
            "SELECT FROM crm_pipelinestage x WHERE x.company_id = %(company)s::uuid "
            "AND x.pipeline_id = n.pipeline_id AND to_jsonb(x.id::text) = given.id)) ELSE true END",
        ),
    ),
)
_STAGE_REMOVAL = WriteSpec(
    PipelineStage,
    rules=(
        # Taken off silently, the last of a list would leave an empty one, which allows every stage.
        Rule(
            "conflict",
            "id",
            "Another stage names this one as allowed next; change that one first.",
            "EXISTS (SELECT FROM crm_pipelinestage x WHERE x.company_id = %(company)s::uuid "
            "AND x.pipeline_id = o.pipeline_id AND x.id <> o.id AND x.allowed_next ? o.id::text)",
        ),
        in_use(
            "Deals are or were in this stage; move them and make it inactive instead.",
            ("crm_deal", "stage_id"),
            ("crm_dealstagehistory", "from_stage_id"),
            ("crm_dealstagehistory", "to_stage_id"),
        ),
    ),
)


judge_pipeline_stages = PlainOperations(_STAGE_SPEC, _STAGE_SPEC, _STAGE_REMOVAL).judge


def create_pipeline_stages(*, actor: Actor, rows: Rows, now: datetime, all_or_none: bool = True) -> Outcome:
    """Add stages; without an order, after the last of their type. Needs a transaction.

    Raises: Invalid (`stage_types_missing`) when a pipeline is left without an open, a won or a lost stage.
    """
    outcome = insert(_STAGE_SPEC, rows, actor=actor, now=now, all_or_none=all_or_none)
    _require_whole(actor, outcome.ids.values())
    return outcome


def update_pipeline_stages(*, actor: Actor, rows: Rows, now: datetime, all_or_none: bool = True) -> Outcome:
    """Change stages. Needs a transaction. Raises as `create_pipeline_stages`."""
    outcome = update(_STAGE_SPEC, rows, actor=actor, now=now, all_or_none=all_or_none)
    _require_whole(actor, outcome.ids.values())
    return outcome


def delete_pipeline_stages(*, actor: Actor, rows: Rows, now: datetime, all_or_none: bool = True) -> Outcome:
    """Remove stages that no deal ever used. Needs a transaction. Raises as `create_pipeline_stages`."""
    outcome = erase(_STAGE_REMOVAL, rows, actor=actor, now=now, all_or_none=all_or_none)
    if outcome.ids:
        _require_whole(actor, ())
    return outcome


def _require_whole(actor: Actor, stage_ids: Iterable[UUID]) -> None:
    """Every pipeline (those of the given stages, or all) has an open, a won and a lost stage in use."""
    chosen = list(stage_ids)
    found = database().fetch_prepared(
        "SELECT p.name FROM crm_pipeline p LEFT JOIN crm_pipelinestage s "
        "ON s.company_id = p.company_id AND s.pipeline_id = p.id AND s.is_active "
        "WHERE p.company_id = %s AND (%s::uuid[] = '{}' OR p.id IN "
        "(SELECT x.pipeline_id FROM crm_pipelinestage x WHERE x.company_id = p.company_id AND x.id = ANY(%s))) "
        "GROUP BY p.id HAVING count(DISTINCT s.stage_type) < 3",
        (actor.company_id, chosen, chosen),
    )
    if found:
        raise Invalid(
            faults=[
                Fault(
                    "stage_type",
                    "stage_types_missing",
                    "A pipeline needs an open, a won and a lost stage in use.",
                )
            ]
        )
