"""Whoever started an import hears how it ended, once, and by mail if they want it so."""

from __future__ import annotations

from typing import Any

import pytest

from core.delivery.models import Notification, OutgoingEmail
from tests.worlds import World

pytestmark = pytest.mark.django_db
ROWS = "Company,Staff\nAlpha,12\nBeta,many\n"
MAPPING = {"Company": ["name"], "Staff": ["number_of_employees"]}


def told(world: World) -> list[tuple[Any, ...]]:
    with world.acting():
        return list(
            Notification.objects.order_by("pk").values_list("recipient_id", "title", "body", "entity_type")
        )


def test_an_import_tells_its_owner_what_came_of_it(acme, globex, run, write) -> None:
    acme.client("sales").put(
        "/api/v1/me/notification-preferences/", {"channels": {"import.finished": ["in_app", "email"]}}
    )
    run(write(ROWS), "account", role="sales", field_mapping=MAPPING)
    title = "Import of rows.csv finished with errors"
    assert told(acme) == [(acme.users["sales"], title, "1 created, 1 with errors.", "import_job")]
    assert told(globex) == []
    with acme.acting():
        mail = OutgoingEmail.objects.get()
    assert (mail.recipient, mail.subject) == (acme.email("sales"), title)


def test_a_refused_import_says_why(acme, run, write) -> None:
    ended, job = run(write(ROWS), "account", field_mapping={"Staff": ["number_of_employees"]})
    assert ended.error
    [(_, title, body, _)] = told(acme)
    assert title == "Import of rows.csv needs your attention"
    assert body == job.error


def test_a_rehearsal_tells_nobody(acme, run, write) -> None:
    run(write(ROWS), "account", dry_run=True, field_mapping=MAPPING)
    assert told(acme) == []
