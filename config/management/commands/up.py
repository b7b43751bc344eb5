import os
import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from config.supervisor import Supervisor


class Command(BaseCommand):
    help = "Starts everything on this machine: servers, migrations, demo company, web, worker and beat."
    requires_system_checks = []
    # Checks need the database, which this command is about to start.
    requires_migrations_checks = False

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--no-demo", action="store_true", help="start without the demo company")
        parser.add_argument("--host", default=os.environ.get("CRM_HOST", "127.0.0.1"))
        parser.add_argument("--port", type=int, default=int(os.environ.get("CRM_PORT") or 8000))

    def handle(self, *, no_demo: bool, host: str, port: int, **_: Any) -> None:
        sys.exit(Supervisor(host=host, port=port, demo=not no_demo).run())
