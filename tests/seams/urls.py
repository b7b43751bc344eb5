"""Routes of equipment."""

from __future__ import annotations

from core.rest.routing import EntityRouter
from tests.seams.views import EquipmentViewSet

urlpatterns: list = []


def routes(router: EntityRouter) -> None:
    router.add(EquipmentViewSet)
