"""What records choose from: products, tags, reasons."""

from __future__ import annotations

from typing import ClassVar

from django.contrib.postgres.indexes import GinIndex
from django.db import models
from django.db.models.functions import Lower

from core.entities.kinds import MAX_TAG_LENGTH
from core.entities.models import Record
from core.tenancy.models import CompanyIsolatedModel
from crm.models import columns
from crm.models.choices import BillingPeriod, ProductType, ReasonFor


class Product(Record):
    """Something the company sells, with its list price."""

    name = models.CharField(max_length=255)
    sku = columns.text(64)
    family = columns.text(100)
    product_type = columns.choice(ProductType, ProductType.GOODS)
    unit = columns.text(32)
    unit_price = models.DecimalField(max_digits=18, decimal_places=4, blank=True, default=0, db_default=0)
    cost_price = models.DecimalField(max_digits=18, decimal_places=4, null=True, blank=True)
    currency = columns.text(3)
    billing_period = columns.choice(BillingPeriod, BillingPeriod.ONE_TIME)
    is_active = columns.flag(True)
    description = columns.long_text()
    search_vector = columns.search_vector(A=("name", "sku"), B=("family",), D=("description",))

    class Meta(Record.Meta):
        constraints: ClassVar = [
            *Record.Meta.constraints,
            columns.not_blank("product", "name"),
            *columns.one_of("product", product_type=ProductType, billing_period=BillingPeriod),
            *columns.not_negative("product", "unit_price", "cost_price"),
            models.UniqueConstraint(
                fields=["company", "sku"], name="product_sku_unique", condition=~models.Q(sku="")
            ),
        ]
        indexes: ClassVar = [
            *Record.Meta.indexes,
            GinIndex(fields=["search_vector", "tags"], name="product_search"),
        ]

    def __str__(self) -> str:
        return self.name


class LostReason(CompanyIsolatedModel):
    """Why a deal was lost or a lead turned down."""

    name = models.CharField(max_length=100)
    applies_to = columns.choice(ReasonFor, ReasonFor.DEAL)
    is_active = columns.flag(True)
    order = models.IntegerField(blank=True, default=0, db_default=0)

    class Meta(CompanyIsolatedModel.Meta):
        constraints: ClassVar = [
            columns.not_blank("lostreason", "name"),
            *columns.one_of("lostreason", applies_to=ReasonFor),
            models.UniqueConstraint("company", "applies_to", Lower("name"), name="lostreason_name_unique"),
        ]

    def __str__(self) -> str:
        return self.name


class Tag(CompanyIsolatedModel):
    """An entry of the catalog of tags; records hold tag names. The catalog's spelling is the only one."""

    name = models.CharField(max_length=MAX_TAG_LENGTH)
    color = columns.text(16)
    description = columns.text(255)

    class Meta(CompanyIsolatedModel.Meta):
        constraints: ClassVar = [
            columns.not_blank("tag", "name"),
            models.UniqueConstraint("company", Lower("name"), name="tag_name_unique"),
        ]

    def __str__(self) -> str:
        return self.name
