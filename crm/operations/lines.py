"""Writes of a deal's products. The deal's amount follows in the same transaction."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

from core.changes import Outcome, Rows, Rule, WriteSpec, erase, insert, update
from core.changes.rules import PlainOperations, fixed
from core.tenancy.actors import Actor
from core.tenancy.postgresql.base import database
from crm.models import DealProduct
from crm.operations.deals import AMOUNT_LIMIT, update_deals

_NEW_PRODUCT = "n.product_id IS DISTINCT FROM o.product_id"


def _snapshot(column: str) -> str:
    """What is given, else the product's value when it was added."""
    given = f"nullif(n.{column}::text, '')"
    return (
        f"CASE WHEN {_NEW_PRODUCT} AND o.id IS NOT NULL AND NOT g.{column} THEN coalesce(product.{column}, n.{column}) "
        f"WHEN {given} IS NOT NULL THEN n.{column} ELSE coalesce(product.{column}, n.{column}) END"
    )


_SPEC = WriteSpec(
    DealProduct,
    joins="LEFT JOIN crm_product product ON product.company_id = %(company)s::uuid AND product.id = n.product_id "
    "LEFT JOIN crm_deal deal ON deal.company_id = %(company)s::uuid AND deal.id = n.deal_id",
    derive={
        "name": _snapshot("name"),
        "sku": _snapshot("sku"),
        "unit": _snapshot("unit"),
        "unit_price": _snapshot("unit_price"),
        "list_price": f"CASE WHEN {_NEW_PRODUCT} THEN product.unit_price ELSE o.list_price END",
    },
    rules=(
        fixed("deal_id", "deal", "A line stays with its deal."),
        Rule(
            "other_currency",
            "product",
            "The product's price is in another currency than the deal; give the unit price.",
            f"{_NEW_PRODUCT} AND NOT g.unit_price AND product.currency <> deal.currency",
        ),
        Rule(
            "too_large",
            "quantity",
            "Quantity times price is too large.",
            f"n.quantity * n.unit_price >= {AMOUNT_LIMIT}",
        ),
    ),
)

_REMOVAL = WriteSpec(DealProduct)


_OPERATIONS = PlainOperations(_SPEC, _SPEC, _REMOVAL)
judge_deal_products = _OPERATIONS.judge


def create_deal_products(*, actor: Actor, rows: Rows, now: datetime, all_or_none: bool = True) -> Outcome:
    """Add lines; name, SKU, unit and price come from the product where not given. Needs a transaction."""
    outcome = insert(_SPEC, rows, actor=actor, now=now, all_or_none=all_or_none)
    _recalculate(_deals_of(actor, outcome.ids.values()), actor, now)
    return outcome


def update_deal_products(*, actor: Actor, rows: Rows, now: datetime, all_or_none: bool = True) -> Outcome:
    """Change lines. Needs a transaction."""
    outcome = update(_SPEC, rows, actor=actor, now=now, all_or_none=all_or_none)
    _recalculate(_deals_of(actor, outcome.ids.values()), actor, now)
    return outcome


def delete_deal_products(*, actor: Actor, rows: Rows, now: datetime, all_or_none: bool = True) -> Outcome:
    """Remove lines. A deal whose last line goes has amount 0 and is free to get another. Needs a transaction."""
    deals = {
        deal_id
        for (deal_id,) in database().fetch_prepared(
            f"SELECT DISTINCT l.deal_id FROM ({rows.sql}) r JOIN crm_dealproduct l ON l.id = r.id",
            rows.params,
        )
    }
    outcome = erase(_REMOVAL, rows, actor=actor, now=now, all_or_none=all_or_none)
    if outcome.ids:
        _recalculate(deals, actor, now)
    return outcome


def _deals_of(actor: Actor, line_ids: Iterable[UUID]) -> set[UUID]:
    return {
        deal_id
        for (deal_id,) in database().fetch_prepared(
            "SELECT DISTINCT deal_id FROM crm_dealproduct WHERE company_id = %s AND id = ANY(%s)",
            (actor.company_id, list(line_ids)),
        )
    }


def _recalculate(deals: set[UUID], actor: Actor, now: datetime) -> None:
    """Amounts of the deals from their lines.

    Raises: Invalid when a sum is too large.
    """
    if not deals:
        return
    # Locked first, so that the sums below see the lines of whoever held a lock before.
    locked = database().fetch_prepared(
        "SELECT id FROM crm_deal WHERE company_id = %s AND id = ANY(%s) AND deleted_at IS NULL "
        "ORDER BY id FOR UPDATE",
        (actor.company_id, sorted(deals)),
    )
    # Deal by deal on purpose: the planner cannot know how many lines were written a moment ago.
    rows = Rows.select(
        "SELECT (d.place - 1)::int AS ord, d.id, sums.amount, sums.amount_source "
        "FROM unnest(%s::uuid[]) WITH ORDINALITY AS d(id, place) CROSS JOIN LATERAL ("
        "SELECT coalesce(sum(l.total), 0) AS amount, "
        "CASE WHEN count(*) > 0 THEN 'calculated' ELSE 'manual' END::varchar AS amount_source "
        "FROM crm_dealproduct l WHERE l.company_id = %s AND l.deal_id = d.id) sums",
        [[deal_id for (deal_id,) in locked], actor.company_id],
        ["amount", "amount_source"],
    )
    update_deals(actor=actor, rows=rows, now=now).raise_if_refused()
