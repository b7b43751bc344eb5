"""Imports fill the fields that the importer may edit, a company's own among them, and change the records open to them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.db.models import Q

from core.access.modes import FieldMode, Mode
from core.entities.custom import custom_field
from core.entities.kinds import Kind
from tests.seams.access import extensions
from tests.worlds import World

pytestmark = pytest.mark.django_db

CONTACTS = "/api/v1/contacts/"


@pytest.fixture(autouse=True)
def _silent_again() -> Iterator[None]:
    yield
    extensions.forget()


@pytest.fixture
def graded(acme: World) -> World:
    extensions.company_fields.add(
        acme.company.pk,
        "contact",
        custom_field("grade", Kind.INTEGER),
        custom_field("budget", Kind.MONEY),
        custom_field("since", Kind.DATE),
        custom_field("badge", Kind.TEXT, identifies=True),
    )
    return acme


MAPPING = {
    "Name": "last_name",
    "Grade": "custom_fields.grade",
    "Budget": "custom_fields.budget",
    "Since": "custom_fields.since",
    "Badge": "custom_fields.badge",
}


def custom_of(world: World) -> dict[str, Any]:
    found = world.client().get(f"{CONTACTS}?ordering=last_name").json()["results"]
    return {item["last_name"]: item["custom_fields"] for item in found}


class TestCustomFields:
    def test_are_filled_and_matched_by(self, graded: World, run: Any, write: Any) -> None:
        path = write("Name,Grade,Budget,Since,Badge\nAda,7,10.50,2026-01-31,A1\nBo,,,,B2\nCy,x,,,\n")
        ended, _ = run(path, "contact", field_mapping=MAPPING)
        assert (ended.counts.created, ended.counts.invalid) == (2, 1)
        assert custom_of(graded) == {
            "Ada": {"grade": 7, "budget": "10.50", "since": "2026-01-31", "badge": "A1"},
            "Bo": {"grade": None, "budget": None, "since": None, "badge": "B2"},
        }
        path = write("Badge,Grade\nA1,8\nB2,\nC3,1\n")
        mapping = {"Badge": "custom_fields.badge", "Grade": "custom_fields.grade"}
        ended, _ = run(path, "contact", field_mapping=mapping, mode="update", match_on="custom_fields.badge")
        assert ended.counts.invalid == 1
        assert custom_of(graded)["Ada"] == {
            "grade": 8,
            "budget": "10.50",
            "since": "2026-01-31",
            "badge": "A1",
        }


class TestModes:
    def test_only_what_may_be_edited_is_filled(self, acme: World, run: Any, write: Any) -> None:
        role = acme.role("sales").pk
        extensions.role_modes.narrow(
            role, "contact", phone=FieldMode(Mode.HIDDEN), title=FieldMode(Mode.VIEW)
        )
        mapping = {"Name": "last_name", "Phone": "phone", "Title": "title"}
        _, job = run(write("Name,Phone,Title\nA,1,Dr\n"), "contact", role="sales", field_mapping=mapping)
        # It waits for settings that this person may use.
        assert job.status == "mapped"
        assert acme.client().get(CONTACTS).json()["results"] == []

    def test_a_reference_is_not_found_by_a_hidden_key(self, acme: World, run: Any, write: Any) -> None:
        extensions.role_modes.narrow(acme.role("sales").pk, "account", name=FieldMode(Mode.HIDDEN))
        owner = str(acme.users["sales"])
        acme.client().post("/api/v1/accounts/", {"name": "Contoso", "owner": owner})
        mapping = {"Name": "last_name", "Account": "account"}
        path = write("Name,Account\nA,Contoso\n")
        assert run(path, "contact", role="sales", field_mapping=mapping)[0].counts.invalid == 1
        assert run(path, "contact", field_mapping=mapping)[0].counts.created == 1


class TestSharing:
    def test_a_record_shared_for_reading_is_neither_changed_nor_made_again(
        self, acme: World, run: Any, write: Any
    ) -> None:
        extensions.role_sharing.share(acme.role("sales").pk, "account", Q(industry="energy"), "read")
        acme.client().post("/api/v1/accounts/", {"name": "Contoso", "industry": "energy"})
        settings = {
            "field_mapping": {"Name": "name", "Site": "website"},
            "mode": "upsert",
            "match_on": "name",
        }
        path = write("Name,Site\nContoso,contoso.example\nOwn,own.example\n")
        ended, _ = run(path, "account", role="sales", **settings)
        assert (ended.counts.invalid, ended.counts.created) == (1, 1)
        extensions.role_sharing.share(acme.role("sales").pk, "account", Q(industry="energy"), "update")
        ended, _ = run(path, "account", role="sales", **settings)
        assert ended.counts.updated == 1
