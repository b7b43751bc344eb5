"""Long work seen from outside: progress, outcome, cancel, retry, and nobody else's."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from core.jobs import GiveUp, JobRun, Presented, enqueue
from core.jobs.models import Job
from core.jobs.registry import JobKind, job_kinds
from core.jobs.running import run_job
from core.kernel.errors import Conflict
from core.kernel.transactions import unit_of_work
from core.tenancy.context import system_context
from tests.worlds import World

JOBS = "/api/v1/jobs/"
INTERNALS = ("RuntimeError", "Traceback", "no luck", "secret")


def count(run: JobRun) -> dict[str, Any]:
    """Counts to the number that its payload says, as told."""
    if run.payload.get("refused"):
        raise Conflict("The file is being read by somebody else.", code="file_busy")
    if run.payload.get("hopeless"):
        raise GiveUp("The mailbox no longer exists.")
    if run.payload.get("broken"):
        raise RuntimeError("no luck\nDETAIL: secret")
    total = run.payload.get("total", 3)
    run.progress(total, total, "counting")
    return {"counted": total}


def _kind(name: str, **options: Any) -> JobKind:
    given = {
        "tenancy": "company",
        "transactional": False,
        "max_attempts": 2,
        "lease": timedelta(seconds=30),
        "label": "Count",
        "description": "Counts things.",
        "present": lambda outcome: Presented(f"{outcome['counted']} counted.", "leads/"),
    }
    return JobKind(name=name, run=count, **{**given, **options})


KINDS = (
    _kind("test.count"),
    _kind("test.count_fixed", cancelable=False),
    _kind("test.count_private", audience=("owner",)),
    _kind("test.machinery", label=""),
)


@pytest.fixture(autouse=True)
def _counting() -> Iterator[None]:
    for kind in KINDS:
        job_kinds._entries[kind.name] = kind
    yield
    for kind in KINDS:
        del job_kinds._entries[kind.name]


def ask(world: World, role: str = "sales", kind: str = "test.count", **payload: Any) -> UUID:
    with world.acting(role):
        return enqueue(kind=kind, payload=payload, subject="things.csv")


def work(job: UUID) -> bool:
    with system_context("a worker"):
        return run_job(job, now=timezone.now() + timedelta(hours=2))


def look(world: World, job: UUID, role: str = "sales") -> Any:
    return world.client(role).get(f"{JOBS}{job}/")


@pytest.mark.usefixtures("silent_broker")
class TestJob:
    def test_waits_first_and_is_to_be_asked_again(self, acme: World) -> None:
        job = ask(acme)
        answer = look(acme, job)
        assert (answer.status_code, answer["Retry-After"]) == (200, "1")
        body = answer.json()
        assert (body["state"], body["label"], body["subject"]) == ("waiting", "Count", "things.csv")
        assert (body["outcome"], body["error"], body["can_cancel"], body["can_retry"]) == (
            None,
            None,
            True,
            False,
        )
        assert body["created_by"] == str(acme.users["sales"])

    def test_shows_progress_while_it_runs(self, acme: World) -> None:
        job = ask(acme)
        with acme.acting():
            Job.objects.filter(pk=job).update(
                lease_until=timezone.now() + timedelta(minutes=1),
                progress={"done": 12, "total": 48, "phase": "counting"},
            )
        body = look(acme, job).json()
        assert body["state"] == "running"
        assert body["progress"] == {"done": 12, "total": 48, "percent": 25, "phase": "counting"}

    def test_waits_again_when_its_worker_died(self, acme: World) -> None:
        job = ask(acme)
        with acme.acting():
            Job.objects.filter(pk=job).update(lease_until=timezone.now() - timedelta(minutes=1), attempts=1)
        assert look(acme, job).json()["state"] == "waiting"

    def test_ends_with_its_outcome(self, acme: World) -> None:
        job = ask(acme, total=7)
        assert work(job)
        answer = look(acme, job)
        body = answer.json()
        assert body["state"] == "done"
        assert body["outcome"] == {"text": "7 counted.", "url": "/api/v1/leads/", "facts": {"counted": 7}}
        assert body["progress"]["percent"] == 100
        assert body["started_at"] <= body["closed_at"] or body["closed_at"]
        assert "Retry-After" not in answer

    @pytest.mark.parametrize(
        ("payload", "code", "detail"),
        [
            ({"hopeless": True}, "given_up", "The mailbox no longer exists."),
            ({"refused": True}, "file_busy", "The file is being read by somebody else."),
            ({"broken": True}, "internal_error", "Something went wrong on our side."),
        ],
    )
    def test_says_why_it_failed_in_words_for_people(
        self, acme: World, payload: dict[str, Any], code: str, detail: str
    ) -> None:
        job = ask(acme, **payload)
        for _ in range(2):
            work(job)
        answer = look(acme, job)
        assert answer.json()["state"] == "failed"
        assert answer.json()["error"] == {"code": code, "detail": detail}
        assert not any(word in answer.content.decode() for word in INTERNALS)

    def test_says_so_when_its_process_died_each_time(self, acme: World) -> None:
        job = ask(acme)
        with acme.acting():
            Job.objects.filter(pk=job).update(attempts=2)
        work(job)
        body = look(acme, job).json()
        assert (body["state"], body["error"]["code"]) == ("failed", "given_up")
        assert "died each time" in body["error"]["detail"]

    def test_is_tried_again_when_asked_and_only_then(self, acme: World) -> None:
        job = ask(acme, hopeless=True)
        assert acme.client("sales").post(f"{JOBS}{job}/retry/").json()["code"] == "job_not_failed"
        work(job)
        answer = acme.client("sales").post(f"{JOBS}{job}/retry/")
        assert (answer.status_code, answer.json()["state"], answer.json()["error"]) == (202, "waiting", None)
        assert answer["Location"].endswith(f"{JOBS}{job}/")

    def test_is_canceled_once(self, acme: World) -> None:
        job = ask(acme)
        first = acme.client("sales").post(f"{JOBS}{job}/cancel/")
        assert (first.status_code, first.json()["state"], first.json()["can_cancel"]) == (
            200,
            "canceled",
            False,
        )
        again = acme.client("sales").post(f"{JOBS}{job}/cancel/")
        assert (again.status_code, again.json()["code"]) == (409, "job_ended")
        assert not work(job)

    def test_is_not_canceled_where_its_kind_forbids_it(self, acme: World) -> None:
        job = ask(acme, kind="test.count_fixed")
        answer = acme.client("sales").post(f"{JOBS}{job}/cancel/")
        assert (answer.status_code, answer.json()["code"]) == (409, "job_not_cancelable")
        assert look(acme, job).json()["can_cancel"] is False


@pytest.mark.usefixtures("silent_broker")
class TestAudience:
    def test_is_the_owner_and_those_who_manage_the_company(self, acme: World) -> None:
        job = ask(acme)
        assert [look(acme, job, role).status_code for role in ("sales", "admin", "manager", "viewer")] == [
            200,
            200,
            404,
            404,
        ]
        for tail in ("cancel/", "retry/"):
            assert acme.client("viewer").post(f"{JOBS}{job}/{tail}").status_code == 404

    def test_is_the_owner_alone_where_the_kind_says_so(self, acme: World) -> None:
        job = ask(acme, kind="test.count_private")
        assert [look(acme, job, role).status_code for role in ("sales", "admin")] == [200, 404]

    def test_is_never_another_company(self, acme: World, globex: World) -> None:
        job = ask(globex)
        missing = look(acme, uuid4(), "admin").json()
        found = look(acme, job, "admin")
        assert found.status_code == 404
        assert found.json() | {"correlation_id": ""} == missing | {"correlation_id": ""}
        assert acme.client("admin").post(f"{JOBS}{job}/cancel/").status_code == 404
        assert acme.client("admin").get(JOBS).json()["results"] == []

    def test_sees_neither_machinery_nor_work_of_the_installation(self, acme: World) -> None:
        hidden = ask(acme, kind="test.machinery")
        with system_context("the installation's own work"), unit_of_work():
            platform = enqueue(kind="core.purge_old", payload={})
        assert look(acme, hidden, "admin").status_code == 404
        assert look(acme, platform, "admin").status_code == 404
        assert acme.client("admin").get(JOBS).json()["count"] == 0


@pytest.mark.usefixtures("silent_broker")
class TestList:
    def test_filters_by_state_kind_person_and_time(self, acme: World) -> None:
        done, waiting = ask(acme), ask(acme, kind="test.count_fixed", role="manager")
        work(done)
        client = acme.client("admin")

        def ids(query: str) -> list[str]:
            answer = client.get(f"{JOBS}?{query}")
            assert answer.status_code == 200, answer.content
            return [job["id"] for job in answer.json()["results"]]

        assert ids("") == [str(waiting), str(done)]
        assert ids("state=done") == [str(done)]
        assert ids("state__in=done,waiting") == [str(waiting), str(done)]
        assert ids("kind=test.count_fixed") == [str(waiting)]
        assert ids(f"created_by={acme.users['sales']}") == [str(done)]
        assert ids("created_at__gte=2100-01-01T00:00:00Z") == []
        assert ids("created_at__lt=2100-01-01&ordering=created_at") == [str(done), str(waiting)]

    def test_takes_as_many_statements_for_one_as_for_many(self, acme: World) -> None:
        client = acme.client("admin")

        def statements() -> int:
            with CaptureQueriesContext(connection) as seen:
                assert client.get(JOBS).status_code == 200
            return len(seen)

        work(ask(acme))
        statements()
        few = statements()
        for number in range(12):
            work(ask(acme, total=number))
        assert statements() == few
