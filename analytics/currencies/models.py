"""What a currency was worth, from which day on."""

from __future__ import annotations

from decimal import Decimal
from typing import ClassVar

from django.core.validators import MinValueValidator
from django.db import models

from core.tenancy.models import CompanyIsolatedModel


class ExchangeRate(CompanyIsolatedModel):
    """One unit of `currency` in the company's own currency, from `valid_from` until the next rate."""

    currency = models.CharField(max_length=3)
    rate = models.DecimalField(
        max_digits=18, decimal_places=8, validators=[MinValueValidator(Decimal("0.00000001"))]
    )
    valid_from = models.DateField()
    source = models.CharField(max_length=64, blank=True, default="", db_default="")

    class Meta(CompanyIsolatedModel.Meta):
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["company", "currency", "valid_from"], name="exchangerate_day"),
            models.CheckConstraint(name="exchangerate_positive", condition=models.Q(rate__gt=0)),
            models.CheckConstraint(name="exchangerate_currency", condition=~models.Q(currency="")),
        ]

    def __str__(self) -> str:
        return f"{self.currency} {self.valid_from}"
