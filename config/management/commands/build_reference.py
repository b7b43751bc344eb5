from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from config import reference


class Command(BaseCommand):
    help = "Writes the pages of docs/reference/ that are read off the code."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--check", action="store_true", help="write nothing; fail if a page is out of date"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if options["check"]:
            names = reference.outdated()
            if names:
                raise CommandError(f"out of date, run manage.py build_reference: {', '.join(names)}")
            return
        for name in reference.write():
            self.stdout.write(f"{name} is new")
