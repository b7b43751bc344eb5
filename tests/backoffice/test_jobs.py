"""Long work in the back office, as a person follows it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from core.jobs import NewJob
from core.jobs.models import Job
from core.jobs.operations import enqueue_many
from tests.worlds import World

pytestmark = pytest.mark.django_db(transaction=True)


def make_jobs(world: World) -> dict[str, Any]:
    """One in each state."""
    names = ("waiting", "running", "done", "failed", "canceled")
    counts = {
        "total": 1200,
        "created": 1150,
        "updated": 30,
        "skipped": 12,
        "invalid": 8,
        "failed": 0,
        "valid": 1180,
    }
    now = timezone.now()
    job = "00000000-0000-7000-8000-000000000000"
    done = {"job": job, "status": "completed", "counts": counts}
    with world.acting() as actor:
        jobs = [NewJob({"job": job}, subject=f"contacts {name}.csv") for name in names]
        made = dict(zip(names, enqueue_many(kind="import.run", jobs=jobs, now=now), strict=True))
        Job.objects.update(due_at=now + timedelta(hours=1), created_by=actor.user_id)
        change = Job.objects.filter
        change(pk=made["running"]).update(
            lease_until=now + timedelta(hours=1),
            started_at=now,
            attempts=1,
            progress={"done": 12_000, "total": 50_000, "phase": "importing"},
        )
        change(pk=made["done"]).update(state="done", started_at=now, closed_at=now, outcome=done)
        problem = {"code": "internal_error", "detail": "Something went wrong on our side."}
        change(pk=made["failed"]).update(
            state="failed", started_at=now, closed_at=now, problem=problem, attempts=5
        )
        change(pk=made["canceled"]).update(state="canceled", closed_at=now)
    return made


def test_a_job_is_followed_canceled_and_tried_again(acme: World, globex: World, visitor: Any) -> None:
    made, theirs = make_jobs(acme), make_jobs(globex)
    me = visitor()
    page = me.page
    me.sign_in("admin@acme.test")
    me.go("/admin/jobs/")
    assert page.locator("tbody tr").count() == 5
    page.get_by_label("State").select_option("failed")
    page.get_by_role("button", name="Show", exact=True).click()
    page.get_by_role("link", name="Import: contacts failed.csv").click()
    page.get_by_text("Something went wrong on our side.").wait_for()
    page.get_by_role("button", name="Try again").click()
    page.get_by_text("The job will be tried again.").wait_for()

    me.go(f"/admin/jobs/{made['running']}/")
    page.get_by_text("Importing: 12,000 of 50,000").wait_for()
    with acme.acting():
        Job.objects.filter(pk=made["running"]).update(
            progress={"done": 30_000, "total": 50_000, "phase": "importing"}
        )
    page.get_by_text("Importing: 30,000 of 50,000").wait_for()
    page.get_by_role("button", name="Cancel").click()
    page.get_by_text("The job was canceled.").wait_for()
    with acme.acting():
        assert Job.objects.get(pk=made["running"]).state == "canceled"
    assert page.request.get(f"{page.url.rpartition('/admin/')[0]}/admin/jobs/{theirs['done']}/").status == 404


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_can_be_read_by_everybody(acme: World, visitor: Any, width: int, scheme: Any) -> None:
    made = make_jobs(acme)
    me = visitor(width=width, color_scheme=scheme)
    me.sign_in("admin@acme.test")
    me.go("/admin/jobs/")
    me.shoot(f"jobs-{width}-{scheme}")
    assert me.accessibility_faults() == []
    me.go(f"/admin/jobs/{made['running']}/")
    me.shoot(f"job-running-{width}-{scheme}")
    assert me.accessibility_faults() == []
    me.go(f"/admin/jobs/{made['done']}/")
    me.shoot(f"job-done-{width}-{scheme}")
    assert me.accessibility_faults() == []
    assert me.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
