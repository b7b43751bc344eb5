from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlencode
from uuid import UUID

import pytest
from celery import current_app
from django.conf import settings
from django.db import connection
from redis import Redis

from core.identity.models import Company, Role
from core.kernel.transactions import unit_of_work
from core.tenancy.context import company_context, system_context
from tests.core.jobs import kinds

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(autouse=True)
def _kinds() -> Iterator[None]:
    kinds.install()
    kinds.failures.clear()
    kinds.runs.clear()
    yield
    kinds.uninstall()


@pytest.fixture
def company(transactional_db: None) -> Company:
    return make_company("acme")


@pytest.fixture
def other_company(transactional_db: None) -> Company:
    return make_company("globex")


@pytest.fixture
def silent_broker() -> Iterator[Redis]:
    """Messages go to Redis and wait there; nothing runs by itself."""
    current_app.conf.task_always_eager = False
    client = Redis.from_url(settings.REDIS_URL)
    client.flushdb()
    yield client
    client.flushdb()
    client.close()
    current_app.conf.task_always_eager = True


def make_company(slug: str) -> Company:
    with system_context("test"), unit_of_work():
        return Company.objects.create(name=slug.title(), slug=slug)


def effects(company: Company, prefix: str = "effect") -> int:
    with company_context(company.id), unit_of_work():
        return Role.objects.filter(name__startswith=prefix).count()


def child_environment(**extra: str) -> dict[str, str]:
    """The environment of a process that works on this test's database and Redis."""
    database = connection.settings_dict
    options = urlencode({"host": database["HOST"], "user": database["USER"]})
    return {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "config.settings.test",
        "DATABASE_URL": f"postgresql:///{database['NAME']}?{options}",
        "PYTHONPATH": str(ROOT),
        **extra,
    }


@pytest.fixture
def run_in_child(tmp_path: Path) -> Callable[..., int]:
    """Do a job in a child process that dies at the fault point, if one is given; returns its exit code."""

    def run(job_id: UUID, fault_point: str = "", passes: int = 1) -> int:
        plan = tmp_path / f"plan-{fault_point}"
        plan.write_text(f"{fault_point} {passes}\n" if fault_point else "")
        environment = child_environment(CRM_FAULT_PLAN=str(plan))
        command = [sys.executable, "-m", "tests.core.jobs.child", str(job_id)]
        return subprocess.run(command, env=environment, cwd=ROOT, timeout=60).returncode

    return run
