"""Writes of products, tags and lost reasons."""

from __future__ import annotations

from core.changes import WriteSpec
from core.changes.rules import PlainOperations, in_use
from crm.models import Account, Activity, Contact, Deal, Lead, LostReason, Note, Product, Tag, Task
from crm.operations.records import CURRENCY, RecordOperations, record_spec

PRODUCTS = RecordOperations(record_spec(Product, derive={"currency": CURRENCY}))

LOST_REASONS = PlainOperations(
    WriteSpec(LostReason),
    WriteSpec(LostReason),
    WriteSpec(
        LostReason,
        rules=(
            in_use(
                "Records use this reason; make it inactive instead.",
                ("crm_deal", "lost_reason_id"),
                ("crm_lead", "disqualified_reason_id"),
            ),
        ),
    ),
)

TAGGED = tuple(
    model._meta.db_table for model in (Account, Contact, Lead, Deal, Product, Activity, Task, Note)
)


def _retag(table: str) -> str:
    """Every record of the table that has a changed tag follows; a tag that is gone (no new name) leaves it."""
    return f"""
UPDATE {table} t SET tags = coalesce((
    SELECT array_agg(CASE WHEN w.old_id IS NULL THEN tag.name ELSE w.new_name END ORDER BY tag.place)
      FILTER (WHERE w.old_id IS NULL OR w.new_name IS NOT NULL)
    FROM unnest(t.tags) WITH ORDINALITY AS tag(name, place) LEFT JOIN written w ON w.old_name = tag.name
  ), '{{}}'),
  version = t.version + 1, updated_at = %(now)s::timestamptz, updated_by_id = %(user)s::uuid
WHERE t.company_id = %(company)s::uuid
  AND t.tags && (SELECT array_agg(w.old_name) FROM written w WHERE w.new_name IS DISTINCT FROM w.old_name)
"""


_RETAGGED = {f"retagged_{table}": _retag(table) for table in TAGGED}
TAGS = PlainOperations(WriteSpec(Tag), WriteSpec(Tag, also=_RETAGGED), WriteSpec(Tag, also=_RETAGGED))

create_products, update_products = PRODUCTS.create, PRODUCTS.update
delete_products, restore_products = PRODUCTS.delete, PRODUCTS.restore
create_lost_reasons, update_lost_reasons = LOST_REASONS.create, LOST_REASONS.update
delete_lost_reasons = LOST_REASONS.delete
create_tags, update_tags, delete_tags = TAGS.create, TAGS.update, TAGS.delete
judge_products, judge_lost_reasons, judge_tags = PRODUCTS.judge, LOST_REASONS.judge, TAGS.judge
