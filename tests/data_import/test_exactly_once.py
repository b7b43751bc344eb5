"""Killed at every named point, an import still brings each row in once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote
from uuid import UUID

import pytest
from django.conf import settings
from django.db import connection
from django.utils import timezone

from core.kernel.faultpoints import POINTS
from core.kernel.ids import uuid7
from core.kernel.transactions import unit_of_work
from core.tenancy.actors import system_actor
from core.tenancy.context import company_context, system_context
from crm.models import Account
from data_import.models import ImportJob
from data_import.operations import jobs
from data_import.queries import count_rows
from data_import.schemas import read_settings
from tests.worlds import World, make_world

ROOT = Path(__file__).resolve().parents[2]
ROWS = 450
POINTS_OF_IMPORTS = sorted(point for point in POINTS if point.startswith("import."))


@pytest.fixture
def world(transactional_db: None) -> World:
    return make_world("acme")


@pytest.fixture(params=[False, True], ids=["side by side", "level by level"])
def has_parents(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture
def job(world: World, has_parents: bool) -> UUID:
    """450 accounts, some of them perhaps below others of the file."""
    lines = ["Name,Parent,Staff"]
    mapping = {"Name": "name", "Staff": "number_of_employees"} | ({"Parent": "parent"} if has_parents else {})
    lines += [f"Account {n},{f'Account {n + 7}' if n % 50 == 0 and n < 400 else ''},{n}" for n in range(ROWS)]
    job_id = uuid7()
    actor = system_actor(world.company.pk)
    with company_context(world.company.pk, actor=actor, source="import"), unit_of_work():
        jobs.create_job(
            actor=actor,
            job_id=job_id,
            entity_type="account",
            settings=read_settings({"field_mapping": mapping}),
            file_name="accounts.csv",
            blocks=["\n".join(lines).encode()],
            now=timezone.now(),
        )
    return job_id


@pytest.fixture
def child(world: World, job: UUID, tmp_path: Path) -> Callable[..., int]:
    """Carries the import on in a process that dies at `point` (on its `count`th pass); answers its exit code."""
    database = connection.settings_dict
    url = f"postgresql://{database['USER']}@/{database['NAME']}?host={quote(database['HOST'], safe='')}"

    def carried_on(point: str = "", count: int = 1) -> int:
        plan = tmp_path / "plan"
        plan.write_text(f"{point} {count}\n" if point else "")
        environment = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "config.settings.test",
            "DATABASE_URL": url,
            "CRM_FAULT_PLAN": str(plan),
            "PYTHONPATH": str(ROOT),
        }
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "tests.data_import.carry_on",
                str(world.company.pk),
                str(job),
                str(settings.MEDIA_ROOT),
            ],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode in (0, -signal.SIGKILL), done.stderr[-2_000:]
        return done.returncode

    return carried_on


def _everything_is_in_once(world: World, job: UUID, has_parents: bool) -> None:
    with company_context(world.company.pk, actor=world.system), unit_of_work():
        names = list(Account.objects.values_list("name", flat=True))
        assert len(names) == len(set(names)) == ROWS
        assert Account.objects.filter(parent__isnull=False).count() == (8 if has_parents else 0)
        counts = count_rows(world.company.pk, job)
        assert (counts.created, counts.total) == (ROWS, ROWS)
        stored = ImportJob.objects.get(pk=job)
        assert (stored.status, stored.created_count) == ("completed", ROWS)
    with system_context("test"), unit_of_work(), connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*), count(DISTINCT entity_id) FROM core_changelog WHERE entity_type = 'account' "
            "AND action = 'create' AND company_id = %s",
            [world.company.pk],
        )
        assert cursor.fetchone() == (ROWS, ROWS), (
            "one entry of the log for each, none for what was rolled back"
        )


@pytest.mark.parametrize("point", POINTS_OF_IMPORTS)
def test_a_kill_at_this_point_loses_and_doubles_nothing(
    point: str, world: World, job: UUID, has_parents: bool, child: Callable[..., int], tmp_path: Path
) -> None:
    assert child(point, 2) == -signal.SIGKILL
    assert (tmp_path / "plan.hits").read_text().split() == [point], "the kill really happened there"
    assert child() == 0
    _everything_is_in_once(world, job, has_parents)


def test_two_at_once_do_it_once(
    world: World, job: UUID, has_parents: bool, child: Callable[..., int]
) -> None:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(2) as both:
        assert sorted(both.map(lambda _: child(), range(2))) == [0, 0]
    _everything_is_in_once(world, job, has_parents)
