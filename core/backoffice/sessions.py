"""Sessions of the back office. No statement inside a company sees them, so that they are read and written outside of any."""

from __future__ import annotations

from typing import Any

from django.contrib.sessions.backends import db

from core.tenancy.context import Binding, system_context


def _outside() -> Binding:
    return system_context("a session of the back office", source="admin")


class SessionStore(db.SessionStore):
    """Django's, whichever company is in context when a page touches its session."""

    def _get_session_from_db(self) -> Any:
        with _outside():
            return super()._get_session_from_db()  # type: ignore[misc]

    def exists(self, session_key: str) -> bool:
        with _outside():
            return super().exists(session_key)

    def save(self, must_create: bool = False) -> None:
        with _outside():
            super().save(must_create)

    def delete(self, session_key: str | None = None) -> None:
        with _outside():
            super().delete(session_key)
