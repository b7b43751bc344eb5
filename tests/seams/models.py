"""What a company owns and lends: enough of a record to try every seam on."""

from __future__ import annotations

from typing import ClassVar

from django.core.validators import MinValueValidator
from django.db import models

from core.entities.models import Record
from core.tenancy.fields import TenantForeignKey


class Equipment(Record):
    """A thing that the company owns."""

    class Region(models.TextChoices):
        NORTH = "north", "North"
        SOUTH = "south", "South"

    class Condition(models.TextChoices):
        WORKING = "working", "Working"
        BROKEN = "broken", "Broken"

    name = models.CharField(max_length=120)
    serial_number = models.CharField(max_length=60, blank=True, default="", db_default="")
    region = models.CharField(
        max_length=10, choices=Region.choices, default=Region.NORTH, db_default=Region.NORTH
    )
    condition = models.CharField(
        max_length=10, choices=Condition.choices, default=Condition.WORKING, db_default=Condition.WORKING
    )
    price = models.DecimalField(
        max_digits=18, decimal_places=2, null=True, blank=True, validators=[MinValueValidator(0)]
    )
    keeper_email = models.EmailField(blank=True, default="", db_default="")
    part_of = TenantForeignKey("self", null=True, blank=True, related_name="parts")

    class Meta(Record.Meta):
        verbose_name = "piece of equipment"
        verbose_name_plural = "equipment"
        constraints: ClassVar = [*Record.Meta.constraints]
        indexes: ClassVar = [
            *Record.Meta.indexes,
            models.Index(fields=["company", "part_of"], name="equipment_part_of"),
        ]

    def __str__(self) -> str:
        return self.name
