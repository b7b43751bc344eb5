"""A company with what imports need, and a way to run them."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from core.kernel.ids import uuid7
from core.tenancy.context import actor_context
from data_import.models import ImportJob
from data_import.operations import jobs
from data_import.operations.run import Ended, run_import
from data_import.schemas import read_settings
from tests.worlds import World


@pytest.fixture(autouse=True)
def _private_media(tmp_path: Path, settings: Any) -> None:
    settings.MEDIA_ROOT = tmp_path / "media"


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """A function that writes a file and answers its path."""

    def made(text: str | bytes, name: str = "rows.csv") -> Path:
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return made


@pytest.fixture
def run(acme: World) -> Callable[..., tuple[Ended, ImportJob]]:
    """A function that imports a file into the company and answers how it ended."""

    def imported(
        path: Path,
        entity: str,
        *,
        world: World = acme,
        role: str = "admin",
        dry_run: bool = False,
        **settings: Any,
    ) -> tuple[Ended, ImportJob]:
        actor = world.actor(role)
        job_id = uuid7()
        with actor_context(actor, source="import"):
            jobs.create_job(
                actor=actor,
                job_id=job_id,
                entity_type=entity,
                settings=read_settings(settings),
                file_name=path.name,
                blocks=iter([path.read_bytes()]),
                now=timezone.now(),
            )
            jobs.change_job(actor, job_id, timezone.now(), is_dry_run=dry_run)
        ended = run_import(actor=actor, job_id=job_id)
        with actor_context(actor, source="import"):
            return ended, ImportJob.objects.get(pk=job_id)

    return imported


@pytest.fixture
def command() -> Callable[..., tuple[int, dict[str, Any]]]:
    """`manage.py import_data … --json`: its exit code and summary."""

    def called(*arguments: str) -> tuple[int, dict[str, Any]]:
        out = io.StringIO()
        code = 0
        try:
            call_command("import_data", *arguments, "--json", stdout=out, stderr=io.StringIO())
        except SystemExit as end:
            code = int(str(end.code))
        except CommandError as error:
            return error.returncode, {"refusal": str(error)}
        return code, json.loads(out.getvalue())

    return called


@pytest.fixture
def acting(acme: World) -> Iterator[World]:
    """The company with its context bound, for looking at what came out."""
    with acme.acting():
        yield acme
