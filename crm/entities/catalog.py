"""Products, tags and lost reasons."""

from __future__ import annotations

from dataclasses import replace

from core.entities import RECORD_FACTS, RECORD_INTERNAL, Entity, Writes, fact, register
from core.entities.kinds import Kind
from core.identity.rights import MANAGE_SETTINGS
from crm import operations
from crm.operations.catalog import TAGGED

PRODUCT = register(
    Entity(
        name="product",
        plural="products",
        description="What the company sells.",
        model_label="crm.Product",
        facts=(
            fact("name", meaning="name", key=True, search="A"),
            fact("sku", label="SKU", key=True, search="A"),
            fact("family", search="B"),
            fact("product_type"),
            fact("unit"),
            fact("unit_price", kind=Kind.MONEY, meaning="amount"),
            fact("cost_price", kind=Kind.MONEY),
            fact("currency", kind=Kind.CURRENCY, meaning="currency"),
            fact("billing_period"),
            fact("is_active"),
            fact("description", search="D"),
            *(replace(item, meaning="") for item in RECORD_FACTS),
        ),
        internal=RECORD_INTERNAL | {"search_vector"},
        writes=Writes(
            operations.create_products,
            operations.update_products,
            operations.delete_products,
            operations.restore_products,
            judge=operations.judge_products,
        ),
        ordering="name",
    )
)


_USES = " + ".join(
    f"(SELECT count(*) FROM {table} tagged WHERE tagged.company_id = {{t}}.company_id "
    "AND tagged.deleted_at IS NULL AND tagged.tags @> ARRAY[{t}.name])"
    for table in TAGGED
)


TAG = register(
    Entity(
        name="tag",
        plural="tags",
        description="The catalog of tags. Renaming one renames it on every record; deleting one takes it off.",
        model_label="crm.Tag",
        facts=(
            fact("name", meaning="name", key=True),
            fact("color"),
            fact("description"),
            fact("usage_count", kind=Kind.INTEGER, sql=_USES, filterable=False, sortable=False),
        ),
        writes=Writes(
            operations.create_tags,
            operations.update_tags,
            operations.delete_tags,
            judge=operations.judge_tags,
        ),
        ordering="name",
    )
)


LOST_REASON = register(
    Entity(
        name="lost_reason",
        plural="lost_reasons",
        description="Why deals are lost and leads turned down.",
        model_label="crm.LostReason",
        facts=(
            fact("name", meaning="name", key=True),
            fact("applies_to"),
            fact("is_active"),
            fact("order"),
        ),
        writes=Writes(
            operations.create_lost_reasons,
            operations.update_lost_reasons,
            operations.delete_lost_reasons,
            judge=operations.judge_lost_reasons,
        ),
        ordering="order",
        guarded_by=MANAGE_SETTINGS,
    )
)
