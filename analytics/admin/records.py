"""Reports, dashboards and rates as records of the back office: their history, deletion, and forms."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse

from analytics.models import Dashboard, ExchangeRate, Report
from core.backoffice.entity_admin import EntityAdmin
from core.backoffice.record_pages import ActionLink


@admin.register(Report)
class ReportAdmin(EntityAdmin):
    section, icon, position = "Reports", "table_chart", 30
    in_navigation = False
    columns = ("name", "data_source", "visibility", "owner", "is_scheduled", "is_favorite")
    filters = ("report_type", "visibility", "owner", "is_scheduled", "is_favorite")

    def record_actions(self, request: HttpRequest, record: Any) -> list[ActionLink]:
        url = reverse("admin:report", args=[record.pk])
        return [ActionLink("Open the report", url, "table_chart", is_main=True)]


@admin.register(Dashboard)
class DashboardAdmin(EntityAdmin):
    section, icon, position = "Reports", "dashboard", 40
    in_navigation = False
    columns = ("name", "visibility", "owner", "is_favorite")
    filters = ("visibility", "owner", "is_favorite")

    def record_actions(self, request: HttpRequest, record: Any) -> list[ActionLink]:
        url = reverse("admin:dashboard", args=[record.pk])
        return [ActionLink("Open the dashboard", url, "dashboard", is_main=True)]


@admin.register(ExchangeRate)
class ExchangeRateAdmin(EntityAdmin):
    section, icon, position = "Setup", "currency_exchange", 60
    columns = ("currency", "rate", "valid_from", "source")
    filters = ("currency", "valid_from")
