"""Routes of core: monitoring, recycle bin, metadata, sign-in and people."""

from __future__ import annotations

from django.urls import path

from core.rest.accounts import urls as accounts
from core.rest.monitoring import HealthView
from core.rest.recycle_bin import RecycleBinView
from core.rest.routing import EntityRouter

urlpatterns = [
    path("monitoring/health/", HealthView.as_view(), name="monitoring-health"),
    path("recycle-bin/", RecycleBinView.as_view(), name="recycle-bin"),
    *accounts.urlpatterns,
]


def routes(router: EntityRouter) -> None:
    accounts.routes(router)
