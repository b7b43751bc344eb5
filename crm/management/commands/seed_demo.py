"""`manage.py seed_demo [--scale N] [--company SLUG] [--seed S]`"""

from __future__ import annotations

import os
import secrets
from argparse import ArgumentTypeError
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from core.kernel.errors import DomainError
from crm.demo import seed_demo

_EXIT_REFUSED = 2
_AT_ONCE = 4


class Command(BaseCommand):
    help = "Make the demo company: people, accounts, leads, deals and two years of history. Repeating it changes nothing."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--scale",
            type=_count,
            default=1,
            metavar="N",
            help="N times as many records; 1 has about 1,200 leads",
        )
        parser.add_argument("--company", default="demo", metavar="SLUG", help="slug of the company")
        parser.add_argument(
            "--seed", type=_seed, default=1, metavar="S", help="another number, another company"
        )
        parser.add_argument(
            "--yes-really", action="store_true", help="also under settings that are not for one machine"
        )

    def handle(self, *, scale: int, company: str, seed: int, yes_really: bool, **_: Any) -> None:
        home = getattr(settings, "HOME", None)
        if home is None and not yes_really:
            raise CommandError(
                "These settings are not for one machine alone, and the people of the demo company all have the same "
                "password. Add --yes-really if that is what you want.",
                returncode=_EXIT_REFUSED,
            )
        password = _password(home.root / "demo-password" if home else None)
        with Progress(
            TextColumn("Demo company"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            # Who calls this from within a program shows progress in their own way.
            disable=not self.stdout.isatty(),
            transient=True,
        ) as progress:
            bar = progress.add_task("", total=None)
            try:
                seeded = seed_demo(
                    slug=company,
                    password=password,
                    now=timezone.now(),
                    scale=scale,
                    seed=seed,
                    at_once=min(os.cpu_count() or 1, _AT_ONCE),
                    report=lambda done, total: progress.update(bar, completed=done, total=total or 1),
                )
            except DomainError as error:
                reasons = " ".join(fault.detail for fault in error.faults) or error.detail
                raise CommandError(reasons, returncode=_EXIT_REFUSED) from None
        if not seeded.is_new and not seeded.sittings:
            self.stdout.write(
                f"The company {company} is there already, with all its history; it stays as it is."
            )
        # Without a home the password was nowhere but in this line.
        known = password if home or seeded.is_new else "as it was printed when the company was made"
        self.stdout.write(f"Sign in: admin@{company}.example, password {known}")
        self.stdout.write(
            f"   also: manager@{company}.example, sales@{company}.example, viewer@{company}.example"
        )


def _count(text: str) -> int:
    return _whole(text, 1, 10_000)


def _seed(text: str) -> int:
    return _whole(text, 0, 2**31 - 1)


def _whole(text: str, least: int, most: int) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 20 and least <= int(text) <= most):
        raise ArgumentTypeError(f"a whole number from {least} to {most} is expected")
    return int(text)


def _password(file: Path | None) -> str:
    """The password of all the demo's people: the one that the file keeps, or a new one, kept from now on."""
    if file and file.exists():
        return file.read_text().strip()
    password = secrets.token_hex(8)
    if file:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch(mode=0o600)
        file.write_text(f"{password}\n")
    return password
