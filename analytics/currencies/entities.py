"""What the registry knows of exchange rates."""

from __future__ import annotations

from analytics.currencies import operations
from core.entities import Entity, Writes, fact, register
from core.entities.kinds import Kind
from core.identity.rights import MANAGE_SETTINGS

EXCHANGE_RATE = register(
    Entity(
        name="exchange_rate",
        plural="exchange_rates",
        model_label="analytics.ExchangeRate",
        description="What one unit of a currency is worth in the company's own, from a day on.",
        facts=(
            fact("currency", kind=Kind.CURRENCY, meaning="currency"),
            fact("rate"),
            fact("valid_from"),
            fact("source"),
        ),
        writes=Writes(operations.create_rates, operations.update_rates, operations.delete_rates),
        guarded_by=MANAGE_SETTINGS,
        title=("currency", "valid_from"),
        ordering="-valid_from",
    )
)
