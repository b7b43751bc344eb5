"""Kinds of jobs for tests; `install` puts them beside the real ones, here and in child processes."""

from __future__ import annotations

from datetime import datetime, timedelta
from time import sleep

from core.identity.models import Role
from core.jobs.registry import GiveUp, JobKind, JobRun, job_kinds

failures: list[str] = []
runs: list[JobRun] = []


def effect(run: JobRun) -> None:
    """One role for each attempt whose transaction commits."""
    runs.append(run)
    Role.objects.create(company_id=run.company_id, name=f"effect {run.id} {run.token}")


def broken(run: JobRun) -> None:
    runs.append(run)
    Role.objects.create(company_id=run.company_id, name=f"effect {run.id} {run.token}")
    raise GiveUp("hopeless") if run.payload.get("hopeless") else RuntimeError("no luck\nDETAIL: secret")


def chunks(run: JobRun) -> datetime | None:
    """Ten chunks, each in its transaction; resumes where the progress stands."""
    runs.append(run)
    for done in range(int(run.progress_so_far.get("done", 0)) + 1, 11):
        with run.transaction():
            Role.objects.create(company_id=run.company_id, name=f"chunk {run.id} {done}")
            run.progress(done, 10, "copying")
        sleep(float(run.payload.get("pause", 0)))
    return None


def note_failure(run: JobRun, error: str) -> None:
    failures.append(error)


def _kind(name: str, function: object, **options: object) -> JobKind:
    defaults = {
        "tenancy": "company",
        "transactional": True,
        "max_attempts": 3,
        "lease": timedelta(seconds=1),
        "on_failed": note_failure,
    }
    return JobKind(name=name, run=function, **{**defaults, **options})  # type: ignore[arg-type]


KINDS = (
    _kind("test.effect", effect),
    _kind("test.broken", broken),
    _kind("test.chunks", chunks, transactional=False),
    _kind("test.hourly", effect, every=timedelta(hours=1), on_failed=None),
)


def install() -> None:
    for kind in KINDS:
        job_kinds._entries[kind.name] = kind


def uninstall() -> None:
    for kind in KINDS:
        del job_kinds._entries[kind.name]
