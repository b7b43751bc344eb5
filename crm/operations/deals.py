"""Writes of deals: what follows from the stage, the moves between stages, and their history.

Everything is derived in the write's own statement, so that a request and an import take the same path.
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from core.changes import Outcome, Rows, Rule
from core.kernel.errors import Conflict, NotFound
from core.tenancy.actors import Actor
from core.tenancy.postgresql.base import database
from crm.models import Deal
from crm.operations.records import CURRENCY, RecordOperations, record_spec

# Fields that a stage may require, with what "not set" means for each.
REQUIRABLE = {
    "account": "n.account_id IS NULL",
    "primary_contact": "n.primary_contact_id IS NULL",
    "owner": "n.owner_id IS NULL",
    "amount": "n.amount = 0",
    "source": "n.source = ''",
    "next_step": "n.next_step = ''",
    "next_step_date": "n.next_step_date IS NULL",
    "competitor": "n.competitor = ''",
    "description": "n.description = ''",
    "lead": "n.lead_id IS NULL",
}
# numeric(18, 2) ends here.
AMOUNT_LIMIT = "1e16"

_NEW_PIPELINE = "CASE WHEN g.pipeline_id THEN n.pipeline_id END"
# The stage that the row asks for; null leaves the choice to the pipeline.
_STAGE = (
    "CASE WHEN g.stage_id AND n.stage_id IS NOT NULL THEN n.stage_id "
    "WHEN g.pipeline_id AND n.pipeline_id <> o.pipeline_id THEN NULL ELSE o.stage_id END"
)
# `s` and `p`: the stage and pipeline the deal will be in; `was`: the stage it is in.
_JOINS = f"""
LEFT JOIN crm_pipeline base ON base.company_id = %(company)s::uuid AND base.is_default
LEFT JOIN (
  SELECT DISTINCT ON (x.pipeline_id) x.pipeline_id, x.id FROM crm_pipelinestage x
  WHERE x.company_id = %(company)s::uuid AND x.is_active AND x.stage_type = 'open'
  ORDER BY x.pipeline_id, x."order"
) opening ON ({_STAGE}) IS NULL AND opening.pipeline_id = coalesce({_NEW_PIPELINE}, base.id)
LEFT JOIN crm_pipelinestage s
  ON s.company_id = %(company)s::uuid AND s.id = coalesce({_STAGE}, opening.id)
LEFT JOIN crm_pipeline p ON p.company_id = %(company)s::uuid AND p.id = s.pipeline_id
LEFT JOIN crm_pipelinestage was ON was.company_id = %(company)s::uuid AND was.id = o.stage_id
"""
_MOVED = "(o.id IS NULL OR s.id IS DISTINCT FROM o.stage_id)"
# When the deal moved: with the row locked, so that moves that waited for each other follow each other in time too,
# whichever request came first.
_MOVED_AT = "greatest(%(now)s::timestamptz, o.stage_changed_at)"
_LINES_TOTAL = (
    "(SELECT coalesce(sum(l.total), 0) FROM crm_dealproduct l "
    "WHERE l.company_id = %(company)s::uuid AND l.deal_id = n.id)"
)


def _overridable(column: str, won: str, lost: str) -> dict[str, str]:
    """A value that follows the stage until somebody sets it, and its flag.

    Won and lost decide it whatever was sent. An explicit flag counts more than the value beside it, so that a record
    sent back as it was read stays as it was.
    """
    given = f"nullif(n.{column}::text, '')"
    overridden = (
        "CASE WHEN s.stage_type <> 'open' THEN false "
        f"WHEN o.id IS NOT NULL AND g.{column}_overridden THEN n.{column}_overridden "
        f"WHEN g.{column} AND {given} IS NOT NULL AND ({_MOVED} OR n.{column} IS DISTINCT FROM o.{column}) "
        f"THEN true ELSE n.{column}_overridden END"
    )
    value = (
        f"CASE WHEN s.stage_type = 'won' THEN {won} WHEN s.stage_type = 'lost' THEN {lost} "
        f"WHEN {overridden} THEN CASE WHEN {given} IS NOT NULL THEN n.{column} "
        f"ELSE coalesce(o.{column}, s.{column}) END "
        f"WHEN {_MOVED} OR o.{column}_overridden THEN s.{column} ELSE o.{column} END"
    )
    return {column: value, f"{column}_overridden": overridden}


_DERIVE = {
    "stage_id": f"coalesce({_STAGE}, opening.id)",
    "pipeline_id": f"coalesce({_NEW_PIPELINE}, s.pipeline_id, base.id)",
    "currency": CURRENCY,
    "status": "coalesce(s.stage_type, o.status, 'open')",
    **_overridable("probability", "100", "0"),
    **_overridable("forecast_category", "'closed'", "'omitted'"),
    # Given times count where the deal is closed (imports bring them); a given one for an open deal is refused below.
    "closed_at": "CASE WHEN g.closed_at AND n.closed_at IS DISTINCT FROM o.closed_at "
    "AND (s.stage_type = 'open' OR n.closed_at IS NOT NULL) THEN n.closed_at "
    "WHEN s.stage_type = 'open' THEN NULL "
    f"WHEN o.status = s.stage_type THEN o.closed_at ELSE {_MOVED_AT} END",
    "lost_reason_id": "CASE WHEN s.stage_type <> 'lost' AND o.status = 'lost' "
    "AND n.lost_reason_id IS NOT DISTINCT FROM o.lost_reason_id THEN NULL ELSE n.lost_reason_id END",
    "stage_changed_at": f"CASE WHEN {_MOVED} THEN {_MOVED_AT} ELSE o.stage_changed_at END",
    "push_count": "CASE WHEN date_trunc('month', n.close_date) > date_trunc('month', o.close_date) "
    "THEN o.push_count + 1 ELSE coalesce(o.push_count, 0) END",
    "amount": "CASE WHEN n.amount_source = 'calculated' "
    f"AND NOT (g.amount AND n.amount IS DISTINCT FROM coalesce(o.amount, 0)) THEN {_LINES_TOTAL} "
    "ELSE n.amount END",
}

_RULES = (
    Rule(
        "stage_not_in_pipeline",
        "stage",
        "The stage belongs to another pipeline.",
        "s.pipeline_id <> n.pipeline_id",
    ),
    Rule("inactive", "stage", "This stage is no longer in use.", f"{_MOVED} AND NOT s.is_active"),
    Rule(
        "inactive",
        "pipeline",
        "This pipeline is no longer in use.",
        "n.pipeline_id IS DISTINCT FROM o.pipeline_id AND NOT p.is_active",
    ),
    *(
        Rule(
            "required_in_stage",
            name,
            "This field is required to enter the stage.",
            f"{_MOVED} AND s.required_fields ? '{name}' AND {blank}",
        )
        for name, blank in REQUIRABLE.items()
    ),
    Rule(
        "stage_skipped",
        "stage",
        "This pipeline's stages are entered one after the other.",
        f"o.id IS NOT NULL AND {_MOVED} AND p.enforce_stage_order AND s.stage_type <> 'lost' "
        "AND was.pipeline_id = s.pipeline_id AND EXISTS (SELECT FROM crm_pipelinestage x "
        "WHERE x.company_id = %(company)s::uuid AND x.pipeline_id = s.pipeline_id AND x.is_active "
        'AND x.stage_type = \'open\' AND x."order" > was."order" AND x."order" < s."order")',
    ),
    Rule(
        "transition_not_allowed",
        "stage",
        "This stage does not follow the one the deal is in.",
        f"o.id IS NOT NULL AND {_MOVED} AND was.pipeline_id = s.pipeline_id "
        "AND was.allowed_next <> '[]' AND NOT was.allowed_next ? s.id::text",
    ),
    Rule(
        "reopen_not_allowed",
        "stage",
        "Closed deals of this pipeline stay closed.",
        "o.status <> 'open' AND s.stage_type = 'open' AND NOT p.allow_reopen",
    ),
    Rule(
        "not_for_deals",
        "lost_reason",
        "This reason is not for deals.",
        "EXISTS (SELECT FROM crm_lostreason x WHERE x.company_id = %(company)s::uuid "
        "AND x.id = n.lost_reason_id AND x.applies_to <> 'deal')",
    ),
    Rule(
        "calculated",
        "amount",
        "The amount is the sum of the deal's products.",
        f"n.amount_source = 'calculated' AND n.amount IS DISTINCT FROM {_LINES_TOTAL}",
    ),
    Rule("too_large", "amount", "The sum of the products is too large.", f"n.amount >= {AMOUNT_LIMIT}"),
)

_COMPARED = ("amount", "probability", "close_date", "forecast_category")
_HISTORY = f"""
INSERT INTO crm_dealstagehistory (id, company_id, created_at, updated_at, created_by_id, updated_by_id,
  deal_id, from_stage_id, to_stage_id, from_pipeline_id, to_pipeline_id, changed_by_id, changed_at, duration_seconds,
  {", ".join(f"{name}_before, {name}_after" for name in _COMPARED)}, source)
SELECT uuidv7(), new_company_id, %(now)s::timestamptz, %(now)s::timestamptz, %(user)s::uuid, %(user)s::uuid,
  new_id, old_stage_id, new_stage_id, old_pipeline_id, new_pipeline_id, %(user)s::uuid, new_stage_changed_at,
  extract(epoch FROM new_stage_changed_at - old_stage_changed_at)::bigint,
  old_amount, new_amount, old_probability, new_probability, old_close_date, new_close_date,
  coalesce(old_forecast_category, ''), new_forecast_category,
  left(%(source)s::text, 32)
FROM written WHERE new_stage_id IS DISTINCT FROM old_stage_id
"""

# The deal's contacts follow its `primary_contact`: the former one steps back, then the new one is marked or added.
_STEPPED_BACK = """
UPDATE crm_dealcontact x SET is_primary = false,
  version = x.version + 1, updated_at = %(now)s::timestamptz, updated_by_id = %(user)s::uuid
FROM written w WHERE w.old_primary_contact_id IS NOT NULL
  AND w.new_primary_contact_id IS DISTINCT FROM w.old_primary_contact_id
  AND x.company_id = %(company)s::uuid AND x.deal_id = w.new_id AND x.is_primary
RETURNING x.id
"""
_STEPPED_FORWARD = """
INSERT INTO crm_dealcontact (id, company_id, created_at, updated_at, created_by_id, updated_by_id,
  deal_id, contact_id, is_primary)
SELECT uuidv7(), w.new_company_id, %(now)s::timestamptz, %(now)s::timestamptz, %(user)s::uuid, %(user)s::uuid,
  w.new_id, w.new_primary_contact_id, true
FROM written w WHERE w.new_primary_contact_id IS NOT NULL
  AND w.new_primary_contact_id IS DISTINCT FROM w.old_primary_contact_id
  -- Asked only so that the others have stepped back before: there is one primary contact at any moment.
  AND (SELECT count(*) FROM stepped_back) >= 0
ON CONFLICT (company_id, deal_id, contact_id) DO UPDATE SET is_primary = true,
  version = crm_dealcontact.version + 1, updated_at = excluded.updated_at, updated_by_id = excluded.updated_by_id
"""

DEALS = RecordOperations(
    record_spec(
        Deal,
        joins=_JOINS,
        derive=_DERIVE,
        rules=_RULES,
        also={"history": _HISTORY, "stepped_back": _STEPPED_BACK, "stepped_forward": _STEPPED_FORWARD},
    )
)

create_deals = DEALS.create
delete_deals, restore_deals, judge_deals = DEALS.delete, DEALS.restore, DEALS.judge


def update_deals(*, actor: Actor, rows: Rows, now: datetime, all_or_none: bool = True) -> Outcome:
    """Change deals; stage history and the primary contact follow. Needs a transaction; locks the deals."""
    if "primary_contact_id" in rows.columns:
        # A statement of its own, so that the next one sees the contacts that whoever held a lock before has left.
        database().fetch_prepared(
            f"SELECT FROM crm_deal d WHERE d.id IN (SELECT r.id FROM ({rows.sql}) r) AND d.company_id = %s "
            "ORDER BY d.id FOR UPDATE",
            (*rows.params, actor.company_id),
        )
    return DEALS.update(actor=actor, rows=rows, now=now, all_or_none=all_or_none)


def move_deal(
    *,
    actor: Actor,
    deal_id: UUID,
    stage_id: UUID,
    now: datetime,
    lost_reason_id: UUID | None = None,
    lost_notes: str | None = None,
    expected_version: int | None = None,
) -> Outcome:
    """Put the deal into another stage. Needs a transaction; locks the deal.

    Raises: NotFound, Stale, Invalid (`lost_reason_required`, `required_in_stage`, `stage_skipped`, …).
    """
    row: dict[str, object] = {"id": deal_id, "stage": stage_id, "expected_version": expected_version}
    if lost_reason_id is not None:
        row["lost_reason"] = lost_reason_id
    if lost_notes is not None:
        row["lost_notes"] = lost_notes
    outcome = update_deals(actor=actor, rows=Rows.of(Deal, [row]), now=now)
    outcome.raise_if_refused()
    return outcome


def win_deal(*, actor: Actor, deal_id: UUID, now: datetime, expected_version: int | None = None) -> Outcome:
    """Put the deal into its pipeline's won stage. Needs a transaction; locks the deal.

    Raises: NotFound, Stale, Invalid, Conflict (`already_lost`: reopen it first).
    """
    status, stage_id = _closing_stage(actor, deal_id, "won")
    if status == "lost":
        raise Conflict("The deal is lost; reopen it first.", code="already_lost")
    return move_deal(
        actor=actor, deal_id=deal_id, stage_id=stage_id, now=now, expected_version=expected_version
    )


def lose_deal(
    *,
    actor: Actor,
    deal_id: UUID,
    lost_reason_id: UUID | None,
    now: datetime,
    lost_notes: str | None = None,
    expected_version: int | None = None,
) -> Outcome:
    """Put the deal into its pipeline's first lost stage. Needs a transaction; locks the deal.

    Raises: NotFound, Stale, Invalid (`lost_reason_required`), Conflict (`already_won`: reopen it first).
    """
    status, stage_id = _closing_stage(actor, deal_id, "lost")
    if status == "won":
        raise Conflict("The deal is won; reopen it first.", code="already_won")
    return move_deal(
        actor=actor,
        deal_id=deal_id,
        stage_id=stage_id,
        now=now,
        lost_reason_id=lost_reason_id,
        lost_notes=lost_notes,
        expected_version=expected_version,
    )


def reopen_deal(
    *,
    actor: Actor,
    deal_id: UUID,
    now: datetime,
    stage_id: UUID | None = None,
    expected_version: int | None = None,
) -> Outcome:
    """Open a closed deal: in the given stage, else in the one it was closed from, else in the first one.

    Needs a transaction; locks the deal. Raises: NotFound, Stale, Invalid (`reopen_not_allowed`), Conflict
    (`not_closed`).
    """
    status, found = _reopening_stage(actor, deal_id)
    if status == "open":
        raise Conflict("The deal is open.", code="not_closed")
    return move_deal(
        actor=actor,
        deal_id=deal_id,
        stage_id=stage_id or found,
        now=now,
        expected_version=expected_version,
    )


def _closing_stage(actor: Actor, deal_id: UUID, stage_type: str) -> tuple[str, UUID]:
    """The status of the deal, locked, and the stage that closes it."""
    found = database().fetch_prepared(
        "SELECT d.status, (SELECT s.id FROM crm_pipelinestage s WHERE s.company_id = d.company_id "
        "AND s.pipeline_id = d.pipeline_id AND s.stage_type = %s AND s.is_active "
        'ORDER BY s.id = d.stage_id DESC, s."order" LIMIT 1) '
        "FROM crm_deal d WHERE d.company_id = %s AND d.id = %s AND d.deleted_at IS NULL FOR UPDATE OF d",
        (stage_type, actor.company_id, deal_id),
    )
    if not found:
        raise NotFound()
    status, stage_id = found[0]
    return status, stage_id


def _reopening_stage(actor: Actor, deal_id: UUID) -> tuple[str, UUID]:
    """The status of the deal, locked, and the stage to open it in."""
    # A statement of its own, so that the next one sees the history of whoever held the lock before.
    database().fetch_prepared(
        "SELECT FROM crm_deal d WHERE d.company_id = %s AND d.id = %s FOR UPDATE", (actor.company_id, deal_id)
    )
    found = database().fetch_prepared(
        "SELECT d.status, coalesce("
        "(SELECT s.id FROM crm_dealstagehistory h JOIN crm_pipelinestage s ON s.company_id = h.company_id "
        "AND s.id = h.from_stage_id WHERE h.company_id = d.company_id AND h.deal_id = d.id "
        "AND s.pipeline_id = d.pipeline_id AND s.stage_type = 'open' AND s.is_active "
        "ORDER BY h.changed_at DESC, h.id DESC LIMIT 1), "
        "(SELECT s.id FROM crm_pipelinestage s WHERE s.company_id = d.company_id "
        "AND s.pipeline_id = d.pipeline_id AND s.stage_type = 'open' AND s.is_active "
        'ORDER BY s."order" LIMIT 1)) '
        "FROM crm_deal d WHERE d.company_id = %s AND d.id = %s AND d.deleted_at IS NULL",
        (actor.company_id, deal_id),
    )
    if not found:
        raise NotFound()
    status, stage_id = found[0]
    return status, stage_id
