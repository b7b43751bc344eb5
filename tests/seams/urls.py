"""Routes of equipment beside those that the registry gives it."""

from __future__ import annotations

from django.urls import path

from tests.seams.inventory import InventoryView

urlpatterns = [path("equipment-inventory/", InventoryView.as_view(), name="equipment-inventory")]
