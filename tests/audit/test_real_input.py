"""Real deals come in by file, a hundred are mended over HTTP, some mends are undone: the log tells the story as it was."""

from __future__ import annotations

import io
import random
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from django.core.management import call_command
from django.utils import timezone

from tests.data_import.test_real_files import ACCOUNTS, DEALS
from tests.worlds import World

pytestmark = pytest.mark.django_db(transaction=True)

LOGS = "/api/v1/audit/logs/"
MENDED, UNDONE = 100, 20
# What a mend may change, with what a reader sees of it.
FIELDS = ("amount", "next_step", "tags", "close_date")


def asked(world: World, path: str = "", **query: Any) -> Any:
    answer = world.client().get(f"{LOGS}{path}?{urlencode(query)}")
    assert answer.status_code == 200, answer.content
    return answer.json()


def imported(folder: Path, name: str, options: tuple[str, ...]) -> None:
    call_command(
        "import_data",
        str(folder / name),
        "--company=acme",
        "--as=admin@acme.test",
        *options,
        "--json",
        stdout=io.StringIO(),
        stderr=io.StringIO(),
    )


def mend(chance: random.Random) -> dict[str, Any]:
    every = {
        "amount": f"{chance.randrange(1, 90_000)}.00",
        "next_step": chance.choice(["Call", "Visit", "Send the contract"]) + f" {chance.randrange(1_000)}",
        "tags": [f"t{chance.randrange(5)}"],
        "close_date": f"2027-0{chance.randrange(1, 10)}-15",
    }
    return {name: every[name] for name in chance.sample(FIELDS, chance.randrange(1, 4))}


def same(one: Any, other: Any) -> bool:
    """Whether two documents say the same; numbers are written with as many decimals as a column has."""
    if isinstance(one, str | int | float) and isinstance(other, str | int | float):
        try:
            return float(one) == float(other)
        except ValueError:
            return one == other
    return bool(one == other or (one in (None, "", []) and other in (None, "", [])))


def test_the_history_of_mended_deals_is_the_one_that_was_kept_beside(
    acme: World, data_dir: Callable[[str], Path]
) -> None:
    folder = data_dir("crm_sales")
    imported(folder, "accounts.csv", ACCOUNTS)
    imported(folder, "sales_pipeline.csv", tuple(option for option in DEALS if "sales_agent" not in option))
    client, chance = acme.client(), random.Random(21)
    summary = client.get("/api/v1/audit/summary/").json()
    assert {row["value"]: row["count"] for row in summary["by_entity"]}["deal"] >= 8_800

    found = client.get("/api/v1/deals/", {"page_size": "100", "status": "open"}).json()["results"]
    deals = {deal["id"]: deal for deal in found[:MENDED]}
    assert len(deals) == MENDED
    # What was changed, from what to what, and how the whole record stood in between: newest last.
    ledger: dict[str, list[dict[str, tuple[Any, Any]]]] = {deal: [] for deal in deals}
    copies: list[tuple[str, datetime, dict[str, Any]]] = []

    def note(deal: str, after: dict[str, Any]) -> None:
        before = deals[deal]
        changes = {
            name: (before[name], after[name]) for name in FIELDS if not same(before[name], after[name])
        }
        if changes:
            ledger[deal].append(changes)
        deals[deal] = after
        copies.append((deal, timezone.now(), after))

    for deal in [*deals, *chance.sample(list(deals), 40)]:
        answer = client.patch(f"/api/v1/deals/{deal}/", mend(chance))
        assert answer.status_code == 200, answer.content
        note(deal, answer.json())
    for deal in chance.sample(list(deals), UNDONE):
        newest = asked(acme, "by-entity/", entity_type="deal", entity_id=deal)["results"][0]["id"]
        answer = client.post(f"{LOGS}{newest}/revert/")
        assert answer.status_code == 200, answer.content
        note(deal, client.get(f"/api/v1/deals/{deal}/").json())

    for deal, kept in ledger.items():
        told = asked(acme, "by-entity/", entity_type="deal", entity_id=deal)["results"]
        assert (told[-1]["action"], told[-1]["source"]) == ("create", "import")
        steps = []
        for entry in reversed(told[:-1]):
            assert (entry["action"], entry["source"], entry["user_name"]) == ("update", "api", "Ada Acme")
            changes = {
                item["field"]: (item["old"], item["new"])
                for item in entry["changes"]
                if item["field"] in FIELDS
            }
            if changes:
                steps.append(changes)
        assert len(steps) == len(kept)
        for step, expected in zip(steps, kept, strict=True):
            assert set(step) == set(expected)
            for name, values in expected.items():
                assert all(same(*pair) for pair in zip(step[name], values, strict=True)), (name, step, values)
    for deal, at, copy in chance.sample(copies, 60):
        values = asked(acme, "as-of/", entity_type="deal", entity_id=deal, at=at.isoformat())["values"]
        for name in (*FIELDS, "name", "stage", "status", "owner", "account", "probability"):
            assert same(values.get(name), copy[name]), (name, values.get(name), copy[name])
    undone = [
        row for row in asked(acme, source="api", action="update", page_size=200)["results"] if row["cause"]
    ]
    assert len(undone) == UNDONE
