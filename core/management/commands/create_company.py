"""`manage.py create_company "Acme GmbH" --slug acme --admin-email ada@acme.example [--password-env VAR]`"""

from __future__ import annotations

import getpass
import os
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from core.identity.models import User
from core.identity.operations import create_company
from core.kernel.errors import Invalid
from core.kernel.transactions import retried, unit_of_work
from core.tenancy.context import system_context

# Distinct from 1, which argparse and unexpected errors use.
EXIT_REFUSED = 2
EXIT_NO_PASSWORD = 3


class Command(BaseCommand):
    help = "Found a company with its built-in roles and its first admin."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", help="Name of the company")
        parser.add_argument(
            "--slug", required=True, help="Short name for URLs and X-Company: a-z, 0-9, hyphens"
        )
        parser.add_argument("--admin-email", required=True, help="Login of the first admin")
        parser.add_argument("--first-name", default="")
        parser.add_argument("--last-name", default="")
        parser.add_argument(
            "--password-env",
            metavar="VAR",
            help="Environment variable that holds the admin's password; without it, it is asked for",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        email = options["admin_email"].strip().lower()
        with system_context("founding a company", source="command"):
            with unit_of_work():
                is_known = User.objects.filter(email=email).exists()
            password = None if is_known else self._password(options["password_env"])
            try:
                founded = retried(
                    lambda: create_company(
                        name=options["name"],
                        slug=options["slug"],
                        admin_email=email,
                        admin_password=password,
                        first_name=options["first_name"],
                        last_name=options["last_name"],
                        now=timezone.now(),
                    )
                )
            except Invalid as error:
                reasons = "; ".join(f"{fault.path}: {fault.detail}" for fault in error.faults) or error.detail
                raise CommandError(reasons, returncode=EXIT_REFUSED) from None
        self.stdout.write(
            f"Company {founded.company.name} ({founded.company.slug}) is ready; "
            + (f"{email} is its admin." if founded.admin_is_new else f"{email} is invited to be its admin.")
        )

    def _password(self, variable: str | None) -> str:
        if variable is not None:
            password = os.environ.get(variable)
            if not password:
                raise CommandError(
                    f"The environment variable {variable} is not set.", returncode=EXIT_NO_PASSWORD
                )
            return password
        if not sys.stdin.isatty():
            raise CommandError(
                "There is no terminal to ask for the password; name an environment variable with --password-env.",
                returncode=EXIT_NO_PASSWORD,
            )
        password = getpass.getpass("Password of the admin: ")
        if password != getpass.getpass("Again: "):
            raise CommandError("The two differ.", returncode=EXIT_NO_PASSWORD)
        return password
