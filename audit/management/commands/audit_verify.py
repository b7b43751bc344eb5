"""`manage.py audit_verify [--company SLUG] [--bundle FILE]`"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from audit.sealing.verifying import verify_company, write_bundle
from core.identity.models import Company
from core.kernel.transactions import unit_of_work
from core.tenancy.context import system_context

EXIT_TAMPERED = 1


class Command(BaseCommand):
    help = "Read the change log against its seals and name every entry that is not as it was sealed."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--company", metavar="SLUG", help="This company alone")
        parser.add_argument(
            "--bundle", metavar="FILE", help="Write the company's seals and entries for the offline verifier"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        with system_context("verifying the change log", source="command"), unit_of_work():
            companies = Company.objects.order_by("slug")
            if options["company"]:
                companies = companies.filter(slug=options["company"])
            found = list(companies.values_list("pk", "slug"))
        if not found:
            raise CommandError("There is no such company.")
        if options["bundle"] and len(found) > 1:
            raise CommandError("A bundle is of one company: name it with --company.")
        is_intact = True
        for company_id, slug in found:
            started = time.monotonic()
            with system_context("verifying the change log", source="command"), unit_of_work():
                verified = verify_company(company_id)
                if options["bundle"]:
                    with Path(options["bundle"]).open("w", encoding="utf-8") as file:
                        write_bundle(company_id, file)
            seconds = time.monotonic() - started
            word = "intact" if verified.is_intact else f"{len(verified.problems)} problems"
            gone = f", {verified.removed} removed by retention" if verified.removed else ""
            self.stdout.write(
                f"{slug}: {verified.entries} entries in {verified.seals} seals, {word}{gone} ({seconds:.1f} s)"
            )
            for problem in verified.problems:
                self.stdout.write(f"  {problem.text}")
            is_intact &= verified.is_intact
        if not is_intact:
            sys.exit(EXIT_TAMPERED)
