"""The committed reference is what the code says."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from config.home import PROJECT_DIR
from core.entities import entities


def test_names_every_entity_and_error_code() -> None:
    pages = {path.name: path.read_text() for path in (PROJECT_DIR / "docs" / "reference").iterdir()}
    shipped = [entity for entity in entities if not entity.model.__module__.startswith("tests.")]

    assert all(f"(`{entity.name}`)" in pages["entities.md"] for entity in shipped)
    assert "| `stale` | 412 |" in pages["error-codes.md"]
    assert "| `not_an_email` |" in pages["error-codes.md"]
    assert "`JWT_KEYS`" in pages["settings.md"]
    assert "`/api/v1/auth/login/`" in pages["endpoints.md"]


def test_is_up_to_date_and_built_from_the_code_alone(tmp_path: Path) -> None:
    """Checking leaves no server running and no home behind."""
    home = tmp_path / "home"
    environment = {**os.environ, "CRM_HOME": str(home), "DJANGO_SETTINGS_MODULE": "config.settings.local"}
    subprocess.run(
        [sys.executable, "manage.py", "build_reference", "--check"],
        cwd=PROJECT_DIR,
        env={name: value for name, value in environment.items() if name not in ("DATABASE_URL", "REDIS_URL")},
        check=True,
    )
    assert not home.exists()
