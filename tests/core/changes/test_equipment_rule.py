"""A rule that a company keeps as a condition, seen from every door of one kind of record."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from core.changes import Rows
from tests.seams.gates import set_equipment_rule
from tests.seams.models import Equipment
from tests.seams.operations import EQUIPMENT
from tests.worlds import World

pytestmark = pytest.mark.django_db
URL = "/api/v1/equipment/"
RULE = {
    "when": {
        "and": [
            {"field": "condition", "operator": "eq", "value": "broken"},
            {"field": "price", "operator": "gte", "value": "100"},
        ]
    },
    "code": "validation_rule",
    "path": "price",
    "detail": "What is broken isn't worth 100; DROP TABLE 50%.",
}
BAD = {"name": "Drill", "condition": "broken", "price": "100.00"}


@pytest.fixture
def ruled(acme: World) -> World:
    with acme.acting() as actor:
        set_equipment_rule(actor=actor, rule=RULE)
    return acme


class TestEquipmentRule:
    def test_refuses_a_create_and_a_change(self, ruled: World, globex: World) -> None:
        client = ruled.client()
        refused = client.post(URL, BAD)
        assert refused.status_code == 400
        assert refused.json()["errors"] == [
            {"path": "price", "code": "validation_rule", "detail": RULE["detail"]}
        ]
        made = client.post(URL, {**BAD, "price": "99.99"}).json()
        assert client.patch(f"{URL}{made['id']}/", {"price": "100.00"}).status_code == 400
        assert (
            client.patch(f"{URL}{made['id']}/", {"price": "100.00", "condition": "working"}).status_code
            == 200
        )
        assert globex.client().post(URL, BAD).status_code == 201

    def test_refuses_in_bulk_row_by_row(self, ruled: World) -> None:
        operations = [{"op": "create", **BAD}, {"op": "create", "name": "Saw"}]
        answer = ruled.client().post(f"{URL}bulk/", {"atomic": False, "operations": operations})
        assert [row["status"] for row in answer.json()["results"]] == [400, 201]

    def test_refuses_an_upsert(self, ruled: World) -> None:
        place = f"{URL}by-external-id/erp/7/"
        assert ruled.client().put(place, BAD).status_code == 400
        assert ruled.client().put(place, {**BAD, "price": "1.00"}).status_code == 201

    def test_refuses_below_http(self, ruled: World) -> None:
        with ruled.acting() as actor:
            outcome = EQUIPMENT.create(actor=actor, rows=Rows.of(Equipment, [BAD]), now=timezone.now())
        assert [fault.code for fault in outcome.refused[0]] == ["validation_rule"]

    @pytest.mark.parametrize("is_dry", [True, False], ids=["dry run", "import"])
    def test_refuses_in_an_import(
        self,
        is_dry: bool,
        ruled: World,
        run: Callable[..., Any],
        write: Callable[..., Path],
    ) -> None:
        path = write("Name,Condition,Price\nDrill,broken,100\nSaw,working,100\n")
        mapping = {"Name": "name", "Condition": "condition", "Price": "price"}
        counts = run(path, "equipment", field_mapping=mapping, dry_run=is_dry)[0].counts
        assert (counts.valid, counts.invalid, counts.created, counts.failed) == (
            (1, 1, 0, 0) if is_dry else (0, 0, 1, 1)
        )

    def test_locks_with_a_status_of_its_own(self, acme: World) -> None:
        client = acme.client()
        made = client.post(URL, {"name": "Drill"}).json()
        held = {"field": "name", "operator": "changed"}
        with acme.acting() as actor:
            set_equipment_rule(actor=actor, rule={**RULE, "when": held, "code": "locked_by_inspection"})
        assert client.patch(f"{URL}{made['id']}/", {"region": "south"}).status_code == 200
        answer = client.patch(f"{URL}{made['id']}/", {"name": "Saw"})
        assert (answer.status_code, answer.json()["code"]) == (423, "locked_by_inspection")
