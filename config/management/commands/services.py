from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from config import embedded


class Command(BaseCommand):
    help = "Shows or stops the embedded PostgreSQL and Redis of this home folder."
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("action", choices=("status", "stop"))

    def handle(self, *, action: str, **_: Any) -> None:
        servers = embedded.for_settings(settings.SETTINGS_MODULE)
        if action == "stop":
            servers.stop_all()
        for status in servers.status():
            state = "stopped" if status.pid is None else f"running as process {status.pid}, {status.address}"
            self.stdout.write(f"{status.name}: {state}")
