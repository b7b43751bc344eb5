"""Django's admin with a site of our own, showing every entity of the registry."""

from __future__ import annotations

from django.contrib.admin import site as admin_site
from django.contrib.admin.apps import AdminConfig

from core.kernel.registry import freeze_all


class BackOfficeConfig(AdminConfig):
    default_site = "core.backoffice.site.BackOfficeSite"

    def ready(self) -> None:
        super().ready()
        # After every app has said how its own entities are shown.
        admin_site.register_remaining()  # type: ignore[attr-defined]
        # The back office's own registries are filled by what was just loaded.
        freeze_all()
