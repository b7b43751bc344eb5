"""Endpoints of equipment."""

from __future__ import annotations

from core.rest.viewsets import EntityViewSet


class EquipmentViewSet(EntityViewSet):
    """Things that the company owns."""

    entity_name = "equipment"
