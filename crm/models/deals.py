"""Pipelines with their stages, deals, their lines and the history of their stages."""

from __future__ import annotations

from typing import ClassVar

from django.contrib.postgres.indexes import GinIndex
from django.db import models
from django.db.models.functions import Lower, Round
from django.db.models.lookups import LessThanOrEqual

from core.entities.models import Record
from core.tenancy.fields import PersonField, TenantForeignKey
from core.tenancy.models import CompanyIsolatedModel
from crm.models import columns
from crm.models.catalog import LostReason, Product
from crm.models.choices import (
    AmountSource,
    DealRole,
    DealType,
    DiscountType,
    ForecastCategory,
    Source,
    StageType,
)
from crm.models.leads import Lead
from crm.models.parties import Account, Contact
from territories.models import TerritoryScoped


class Pipeline(CompanyIsolatedModel):
    """A way of selling, as an order of stages. One of the company's is the default."""

    name = models.CharField(max_length=100)
    code = columns.text(64)
    description = columns.long_text()
    is_default = columns.flag()
    is_active = columns.flag(True)
    order = models.IntegerField(blank=True, default=0, db_default=0)
    # A deal enters the open stages one after the other, skipping none.
    enforce_stage_order = columns.flag()
    allow_reopen = columns.flag(True)
    forecast_enabled = columns.flag(True)
    # For stages that say nothing themselves.
    rotting_days = models.IntegerField(null=True, blank=True)

    class Meta(CompanyIsolatedModel.Meta):
        constraints: ClassVar = [
            columns.not_blank("pipeline", "name"),
            *columns.not_negative("pipeline", "rotting_days"),
            models.UniqueConstraint(fields=["company", "code"], name="pipeline_code_unique"),
            models.UniqueConstraint("company", Lower("name"), name="pipeline_name_unique"),
            models.UniqueConstraint(
                fields=["company"], name="pipeline_one_default", condition=models.Q(is_default=True)
            ),
            models.CheckConstraint(
                name="pipeline_default_active",
                condition=models.Q(is_default=False) | models.Q(is_active=True),
                violation_error_code="default_is_active",
                violation_error_message="The default pipeline cannot be inactive.",
            ),
        ]

    def __str__(self) -> str:
        return self.name


class PipelineStage(CompanyIsolatedModel):
    """A step of a pipeline. `stage_type` decides whether deals in it are open, won or lost."""

    pipeline = TenantForeignKey(Pipeline, related_name="stages")
    name = models.CharField(max_length=100)
    code = columns.text(64)
    # Filled by the operation: after the last one.
    order = models.IntegerField(blank=True)
    stage_type = columns.choice(StageType, StageType.OPEN)
    probability = models.IntegerField(blank=True, default=0, db_default=0)
    forecast_category = columns.choice(ForecastCategory, ForecastCategory.PIPELINE)
    rotting_days = models.IntegerField(null=True, blank=True)
    # Names of deal fields that must be set to enter.
    required_fields = models.JSONField(
        blank=True, default=list, db_default=models.Value([], models.JSONField())
    )
    # Ids of the stages of this pipeline that may follow; none: any.
    allowed_next = models.JSONField(blank=True, default=list, db_default=models.Value([], models.JSONField()))
    color = columns.text(16)
    is_active = columns.flag(True)
    description = columns.long_text()

    class Meta(CompanyIsolatedModel.Meta):
        constraints: ClassVar = [
            columns.not_blank("pipelinestage", "name"),
            *columns.one_of("pipelinestage", stage_type=StageType, forecast_category=ForecastCategory),
            columns.percentage("pipelinestage", "probability"),
            *columns.not_negative("pipelinestage", "rotting_days"),
            models.UniqueConstraint(fields=["company", "pipeline", "code"], name="stage_code_unique"),
            models.UniqueConstraint(
                fields=["company", "pipeline", "order"],
                name="stage_order_unique",
                deferrable=models.Deferrable.DEFERRED,
            ),
            models.UniqueConstraint(
                fields=["company", "pipeline"],
                name="stage_one_won",
                condition=models.Q(stage_type="won", is_active=True),
                violation_error_code="one_won_stage",
                violation_error_message="The pipeline has an active won stage already.",
            ),
            models.CheckConstraint(
                name="stage_closed_probability",
                condition=models.Q(stage_type="open")
                | models.Q(stage_type="won", probability=100, forecast_category="closed")
                | models.Q(stage_type="lost", probability=0, forecast_category="omitted"),
                violation_error_code="closed_probability",
                violation_error_message="Won means 100 and closed, lost means 0 and omitted.",
            ),
        ]

    def __str__(self) -> str:
        return self.name


class Deal(TerritoryScoped):
    """Something to be sold, also called opportunity. Its stage decides status, and by default the odds."""

    name = models.CharField(max_length=255)
    account = TenantForeignKey(Account, models.SET_NULL, null=True, blank=True, related_name="deals")
    primary_contact = TenantForeignKey(Contact, models.SET_NULL, null=True, blank=True, related_name="deals")
    lead = TenantForeignKey(Lead, models.SET_NULL, null=True, blank=True, related_name="deals")
    # Filled by the operation where not given.
    pipeline = TenantForeignKey(Pipeline, blank=True, related_name="deals")
    stage = TenantForeignKey(PipelineStage, blank=True, related_name="deals")
    amount = models.DecimalField(max_digits=18, decimal_places=2, blank=True, default=0, db_default=0)
    amount_source = columns.choice(AmountSource, AmountSource.MANUAL)
    currency = columns.text(3)
    probability = models.IntegerField(blank=True)
    probability_overridden = columns.flag()
    forecast_category = models.CharField(max_length=24, choices=ForecastCategory.choices, blank=True)
    forecast_category_overridden = columns.flag()
    close_date = models.DateField()
    closed_at = models.DateTimeField(null=True, blank=True)
    status = columns.choice(StageType, StageType.OPEN)
    deal_type = columns.choice(DealType, DealType.NEW_BUSINESS)
    source = columns.choice(Source)
    next_step = columns.text(255)
    next_step_date = models.DateField(null=True, blank=True)
    lost_reason = TenantForeignKey(LostReason, null=True, blank=True, related_name="+")
    lost_notes = columns.long_text()
    competitor = columns.text(255)
    stage_changed_at = models.DateTimeField(editable=False)
    push_count = models.IntegerField(editable=False, default=0, db_default=0)
    last_activity_at = models.DateTimeField(null=True, editable=False)
    description = columns.long_text()
    is_closed = columns.generated("status <> 'open'", models.BooleanField())
    is_won = columns.generated("status = 'won'", models.BooleanField())
    expected_amount = columns.generated(
        "round(amount * probability / 100, "
        f"CASE WHEN currency IN ({columns.WHOLE_CURRENCIES}) THEN 0 ELSE 2 END)",
        models.DecimalField(max_digits=18, decimal_places=2),
    )
    search_vector = columns.search_vector(A=("name",), C=("next_step", "competitor"), D=("description",))

    unlogged_columns = Record.unlogged_columns | {"last_activity_at"}

    class Meta(TerritoryScoped.Meta):
        constraints: ClassVar = [
            *Record.Meta.constraints,
            columns.not_blank("deal", "name"),
            *columns.one_of(
                "deal",
                amount_source=AmountSource,
                forecast_category=ForecastCategory,
                status=StageType,
                deal_type=DealType,
                source=Source,
            ),
            *columns.not_negative("deal", "amount"),
            columns.percentage("deal", "probability"),
            models.CheckConstraint(
                name="deal_closed_at",
                condition=(models.Q(closed_at__isnull=True) & models.Q(status="open"))
                | (~models.Q(status="open") & models.Q(closed_at__isnull=False)),
                violation_error_code="not_closed",
                violation_error_message="Only a closed deal has a time of closing.",
            ),
            models.CheckConstraint(
                name="deal_lost_reason",
                condition=models.Q(lost_reason__isnull=False) | ~models.Q(status="lost"),
                violation_error_code="lost_reason_required",
                violation_error_message="Say why the deal was lost.",
            ),
            models.CheckConstraint(
                name="deal_reason_only_lost",
                condition=models.Q(lost_reason__isnull=True) | models.Q(status="lost"),
                violation_error_code="not_lost",
                violation_error_message="Only a lost deal has a lost reason.",
            ),
            models.CheckConstraint(
                name="deal_closed_probability",
                condition=models.Q(status="open")
                | models.Q(status="won", probability=100, forecast_category="closed")
                | models.Q(status="lost", probability=0, forecast_category="omitted"),
            ),
        ]
        indexes: ClassVar = [
            *TerritoryScoped.Meta.indexes,
            # The board and most reports.
            models.Index(fields=["company", "stage"], name="deal_stage"),
            # Home: what is open, and what was won since when.
            models.Index(
                fields=["company", "status", "closed_at"],
                name="deal_status",
                condition=models.Q(deleted_at__isnull=True),
            ),
            # Forecasts.
            models.Index(fields=["company", "close_date"], name="deal_close_date"),
            models.Index(
                fields=["company", "account"], name="deal_account", condition=models.Q(account__isnull=False)
            ),
            models.Index(
                fields=["company", "primary_contact"],
                name="deal_primary_contact",
                condition=models.Q(primary_contact__isnull=False),
            ),
            GinIndex(fields=["search_vector", "tags"], name="deal_search"),
        ]

    def __str__(self) -> str:
        return self.name


class DealContact(CompanyIsolatedModel):
    """A contact of a deal and the part they play. The primary one is the deal's `primary_contact`."""

    deal = TenantForeignKey(Deal, models.CASCADE, related_name="contacts")
    contact = TenantForeignKey(Contact, models.CASCADE, related_name="+")
    role = columns.choice(DealRole)
    # Written by the deal's own statement alone, which keeps the two in step.
    is_primary = columns.flag()

    class Meta(CompanyIsolatedModel.Meta):
        constraints: ClassVar = [
            *columns.one_of("dealcontact", role=DealRole),
            models.UniqueConstraint(fields=["company", "deal", "contact"], name="dealcontact_unique"),
            models.UniqueConstraint(
                fields=["company", "deal"],
                name="dealcontact_one_primary",
                condition=models.Q(is_primary=True),
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["company", "contact"], name="dealcontact_contact"),
        ]

    def __str__(self) -> str:
        return f"{self.contact_id} of {self.deal_id}"


class DealStageHistory(CompanyIsolatedModel):
    """Each stage a deal entered, written with the deal in one statement and never changed."""

    deal = TenantForeignKey(Deal, models.CASCADE, related_name="stage_history")
    from_stage = TenantForeignKey(PipelineStage, null=True, related_name="+")
    to_stage = TenantForeignKey(PipelineStage, related_name="+")
    from_pipeline = TenantForeignKey(Pipeline, null=True, related_name="+")
    to_pipeline = TenantForeignKey(Pipeline, related_name="+")
    changed_by = PersonField(null=True)
    changed_at = models.DateTimeField()
    # How long the deal had been in `from_stage`.
    duration_seconds = models.BigIntegerField(null=True)
    amount_before = columns.money()
    amount_after = models.DecimalField(max_digits=18, decimal_places=2)
    probability_before = models.IntegerField(null=True)
    probability_after = models.IntegerField()
    close_date_before = models.DateField(null=True)
    close_date_after = models.DateField()
    forecast_category_before = columns.text(24)
    forecast_category_after = columns.text(24)
    # The change log's word for the channel: api, import, workflow, admin, …
    source = columns.text(32)

    # The deal's own log entry holds the same change.
    logged = False

    class Meta(CompanyIsolatedModel.Meta):
        verbose_name_plural = "deal stage history"
        indexes: ClassVar = [
            models.Index(fields=["company", "deal", "changed_at"], name="stagehistory_deal"),
            # Velocity and funnels read by time.
            models.Index(fields=["company", "changed_at"], name="stagehistory_changed_at"),
        ]

    def __str__(self) -> str:
        return f"{self.deal_id} to {self.to_stage_id}"


_SUBTOTAL = "round(quantity * unit_price, 2)"
_DISCOUNT = (
    f"CASE discount_type WHEN 'percentage' THEN round({_SUBTOTAL} * discount_value / 100, 2) "
    "ELSE round(discount_value, 2) END"
)


class DealProduct(CompanyIsolatedModel):
    """A line of a deal. Name, SKU and price are the product's as they were when it was added."""

    deal = TenantForeignKey(Deal, models.CASCADE, related_name="lines")
    product = TenantForeignKey(Product, models.SET_NULL, null=True, blank=True, related_name="+")
    name = columns.text(255)
    sku = columns.text(64)
    description = columns.long_text()
    quantity = models.DecimalField(max_digits=18, decimal_places=4, blank=True, default=1, db_default=1)
    unit = columns.text(32)
    # Filled by the operation from the product where not given.
    unit_price = models.DecimalField(max_digits=18, decimal_places=4, blank=True)
    list_price = models.DecimalField(max_digits=18, decimal_places=4, null=True, editable=False)
    discount_type = columns.choice(DiscountType, DiscountType.PERCENTAGE)
    discount_value = models.DecimalField(max_digits=18, decimal_places=4, blank=True, default=0, db_default=0)
    order = models.IntegerField(blank=True, default=0, db_default=0)
    subtotal = columns.generated(_SUBTOTAL, models.DecimalField(max_digits=18, decimal_places=2))
    discount_amount = columns.generated(_DISCOUNT, models.DecimalField(max_digits=18, decimal_places=2))
    total = columns.generated(
        f"{_SUBTOTAL} - {_DISCOUNT}", models.DecimalField(max_digits=18, decimal_places=2)
    )

    class Meta(CompanyIsolatedModel.Meta):
        constraints: ClassVar = [
            columns.not_blank("dealproduct", "name"),
            *columns.one_of("dealproduct", discount_type=DiscountType),
            *columns.not_negative("dealproduct", "unit_price", "discount_value"),
            models.CheckConstraint(
                name="dealproduct_quantity_positive",
                condition=models.Q(quantity__gt=0),
                violation_error_code="too_small",
                violation_error_message="The quantity must be more than 0.",
            ),
            models.CheckConstraint(
                name="dealproduct_discount_at_most_all",
                condition=models.Q(discount_type="percentage", discount_value__lte=100)
                | (
                    models.Q(discount_type="fixed")
                    & models.Q(
                        LessThanOrEqual(
                            Round(models.F("discount_value"), 2),
                            Round(models.F("quantity") * models.F("unit_price"), 2),
                        )
                    )
                ),
                violation_error_code="discount_too_large",
                violation_error_message="A discount takes away the whole price at most.",
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["company", "deal"], name="dealproduct_deal"),
            models.Index(
                fields=["company", "product"],
                name="dealproduct_product",
                condition=models.Q(product__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return self.name
