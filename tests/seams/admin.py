"""Equipment in the back office."""

from __future__ import annotations

from django.contrib import admin

from core.backoffice.entity_admin import EntityAdmin
from tests.seams.models import Equipment


@admin.register(Equipment)
class EquipmentAdmin(EntityAdmin):
    """Things that the company owns."""

    section, icon, position = "Setup", "construction", 900
    columns = ("name", "serial_number", "region", "condition", "price", "owner")
    filters = ("region", "condition", "owner", "tags")
    key_facts = ("region", "condition", "price", "owner")
