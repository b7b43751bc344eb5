import os
from typing import Any

from django.conf import settings
from django.core.management.commands import dbshell

from config import embedded


class Command(dbshell.Command):
    """Django's `dbshell`, with the psql that belongs to the embedded server."""

    def handle(self, **options: Any) -> None:
        if settings.EMBEDDED:
            programs = embedded.for_settings(settings.SETTINGS_MODULE).program("psql").parent
            os.environ["PATH"] = f"{programs}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
        super().handle(**options)
