"""The owner of the tables, for a moment of a test."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from django.conf import settings
from django.db import connection


@contextmanager
def owner_connection() -> Iterator[psycopg.Connection]:
    """A session of its own as the owner, whom row-level security does not bind."""
    known = connection.settings_dict
    owner = settings.DATABASE_OWNER["USER"]
    with psycopg.connect(host=known["HOST"], user=owner, dbname=known["NAME"], autocommit=True) as session:
        yield session


@contextmanager
def owning() -> Iterator[None]:
    """The open transaction of the test has the owner's role in the block, which its login may not take on otherwise."""
    login, owner = connection.settings_dict["USER"], settings.DATABASE_OWNER["USER"]
    with owner_connection() as session:
        session.execute(f"GRANT {owner} TO {login} WITH INHERIT FALSE, SET TRUE")
        try:
            with connection.cursor() as cursor:
                # To look at the memberships is to hear of the new one.
                cursor.execute("SELECT current_setting('role') FROM pg_auth_members LIMIT 1")
                [role] = cursor.fetchone()
                cursor.execute(f"SET LOCAL ROLE {owner}")
                yield
                cursor.execute(f"SET LOCAL ROLE {role}")
        finally:
            session.execute(f"REVOKE {owner} FROM {login}")
