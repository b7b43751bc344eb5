"""The committed reference is what the code says."""

from __future__ import annotations

from config import reference
from core.entities import entities


def test_is_up_to_date() -> None:
    assert reference.outdated() == [], "run manage.py build_reference"


def test_names_every_entity_and_error_code() -> None:
    pages = reference.pages()

    assert all(f"(`{entity.name}`)" in pages["entities.md"] for entity in entities)
    assert "| `stale` | 412 |" in pages["error-codes.md"]
    assert "| `not_an_email` |" in pages["error-codes.md"]
    assert "`JWT_KEYS`" in pages["settings.md"]
    assert "`/api/v1/auth/login/`" in pages["endpoints.md"]
