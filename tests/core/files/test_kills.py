"""Killed at every named point, no file is half there: row and bytes, or neither, at the latest after a sweep."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest
from django.conf import settings
from django.db import connection
from django.utils import timezone

from core.files.models import StoredFile
from core.files.operations import sweep_files
from core.kernel.faultpoints import POINTS
from tests.worlds import World

ROOT = Path(__file__).resolve().parents[3]
STORING = sorted(point for point in POINTS if point.startswith("file.store."))
DELETING = sorted(point for point in POINTS if point.startswith("file.delete."))
Left = Callable[[], dict[str, int]]

pytestmark = pytest.mark.django_db(transaction=True)


def child(tmp_path: Path, point: str, *arguments: str) -> int:
    """The exit code of a process that does what the arguments say and dies at the point."""
    database = connection.settings_dict
    plan = tmp_path / "plan"
    plan.write_text(f"{point} 1\n" if point else "")
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "config.settings.test",
        "DATABASE_URL": f"postgresql://{database['USER']}@/{database['NAME']}?host={quote(database['HOST'], safe='')}",
        "CRM_FAULT_PLAN": str(plan),
        "PYTHONPATH": str(ROOT),
    }
    done = subprocess.run(
        [sys.executable, "-m", "tests.core.files.carry_on", *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode in (0, -signal.SIGKILL), done.stderr[-2_000:]
    return done.returncode


def rows(acme: World) -> int:
    with acme.acting():
        return StoredFile.objects.count()


@pytest.mark.parametrize("point", STORING)
def test_a_kill_while_a_file_is_stored(point: str, acme: World, tmp_path: Path, bytes_left: Left) -> None:
    company, media = str(acme.company.pk), str(settings.MEDIA_ROOT)
    assert child(tmp_path, point, "store", company, media) == -signal.SIGKILL
    assert (tmp_path / "plan.hits").read_text().split() == [point]
    assert bytes_left()["in-doubt"] == 1

    sweep_files(now=timezone.now())

    kept = 1 if point == "file.store.after_commit" else 0
    assert (rows(acme), bytes_left()) == (kept, {"files": kept, "in-doubt": 0})


@pytest.mark.parametrize("point", DELETING)
def test_a_kill_while_a_file_is_deleted(
    point: str, acme: World, tmp_path: Path, bytes_left: Left, store: Callable[..., StoredFile]
) -> None:
    file = store()
    company, media = str(acme.company.pk), str(settings.MEDIA_ROOT)
    assert child(tmp_path, point, "delete", company, media, str(file.pk)) == -signal.SIGKILL
    assert (tmp_path / "plan.hits").read_text().split() == [point]

    sweep_files(now=timezone.now())

    kept = 1 if point in ("file.delete.after_mark", "file.delete.after_row") else 0
    assert (rows(acme), bytes_left()) == (kept, {"files": kept, "in-doubt": 0})


def test_a_kill_of_the_sweep_itself(acme: World, tmp_path: Path, bytes_left: Left) -> None:
    company, media = str(acme.company.pk), str(settings.MEDIA_ROOT)
    child(tmp_path, "file.store.after_row", "store", company, media)
    assert child(tmp_path, "file.delete.after_bytes", "sweep", company, media) == -signal.SIGKILL
    assert bytes_left() == {"files": 0, "in-doubt": 1}
    sweep_files(now=timezone.now())
    assert bytes_left() == {"files": 0, "in-doubt": 0}
