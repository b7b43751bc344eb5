"""Django's `migrate` as the owner of the tables, followed by what the models demand of the database itself."""

from __future__ import annotations

from typing import Any

from django.core.management.commands import migrate
from django.db import connection

from core.schema import bring_up_to_date
from core.tenancy.postgresql.base import database_owner

# A lock that a migration waits for stops everybody behind it. It fails instead, and is run again in a quieter moment; what it
# does once it has its locks may take long.
_LIMITS = "SET lock_timeout = '10s'; SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0"


class Command(migrate.Command):
    def check(self, *args: Any, **kwargs: Any) -> Any:
        # The database's own rules are what this command is about to bring up to date.
        return super().check(*args, **{**kwargs, "databases": None})

    def handle(self, *args: Any, **options: Any) -> None:
        with database_owner():
            with connection.cursor() as cursor:
                cursor.execute(_LIMITS)
            super().handle(*args, **options)
            if not (options["check_unapplied"] or options["plan"] or options["app_label"]):
                bring_up_to_date(options["database"])
