"""The countries of the world and their parts as a tree, and a real book of accounts assigned by country rules."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.utils import timezone

from core.changes import Rows
from crm.models import Account
from crm.operations import create_accounts
from territories.models import Territory, TerritoryRule
from territories.operations import assign_by_rules, create_rules
from tests.worlds import World

pytestmark = pytest.mark.django_db
# What the sales data calls countries, where the lists call them otherwise.
SPELLED = {"United States": "US", "Kenya": "KE", "Philipines": "PH", "Korea": "KR"}


def nodes(folder: Path) -> list[tuple[str, str, str]]:
    """(code, name, parent's code) of every node, parents first."""
    with (folder / "country-codes.csv").open(encoding="utf-8", newline="") as file:
        countries = list(csv.DictReader(file))
    with (folder / "subdivision-codes.csv").open(encoding="utf-8", newline="") as file:
        parts = list(csv.DictReader(file))
    found: dict[str, tuple[str, str, str]] = {"WORLD": ("WORLD", "World", "")}
    alpha2 = "ISO3166-1-Alpha-2"
    for row in countries:
        if not row["Region Name"]:
            # Antarctica lies in no region.
            continue
        parent = "WORLD"
        for level in ("Region Name", "Sub-region Name", "Intermediate Region Name"):
            if row[level]:
                code = f"{parent}/{row[level]}" if parent != "WORLD" else row[level]
                found.setdefault(code, (code, row[level], parent))
                parent = code
        # A province is called BA, too.
        code = f"ISO {row[alpha2]}"
        found[code] = (code, row.get("CLDR display name") or row["UNTERM English Short"], parent)
    for place, row in enumerate(parts):
        country = f"ISO {row['SUCountry']}"
        code = f"{row['SUCountry']}-{row['SUCode']}"
        if code in found:
            # Four codes come twice, for parts of two kinds.
            code = f"{code} {place}"
        found[code] = (code, row["SUName"], country)
    return list(found.values())


@pytest.fixture
def planet(acme: World, data_dir: Callable[[str], Path], tmp_path: Path) -> list[tuple[str, str, str]]:
    """The tree, imported from one file by command; parents are named by their codes."""
    found = nodes(data_dir("territories"))
    file = tmp_path / "territories.csv"
    with file.open("w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(["code", "name", "parent"])
        writer.writerows(found)
    call_command(
        "import_data",
        str(file),
        "--company=acme",
        "--as=admin@acme.test",
        "--entity=territory",
        "--map=code=code",
        "--map=name=name",
        "--map=parent=parent_territory",
    )
    return found


def test_the_world_becomes_a_tree(acme: World, planet: list[tuple[str, str, str]]) -> None:
    assert len(planet) == 4_956
    with acme.acting():
        assert Territory.objects.count() == len(planet)
        by_code = {territory.code: territory for territory in Territory.objects.all()}
        for code, _, parent in planet:
            found = by_code[code]
            above = by_code[parent].hierarchy_path if parent else "/"
            assert found.hierarchy_path == f"{above}{found.slug}/", code
        assert by_code["ISO NA"].name == "Namibia", "no word for nothing"
        deepest = max(by_code.values(), key=lambda item: item.hierarchy_level)
        assert deepest.hierarchy_level == 5
        assert by_code["WORLD"].get_all_children().count() == len(planet) - 1


def test_accounts_go_where_their_country_is(
    acme: World, planet: list[tuple[str, str, str]], data_dir: Callable[[str], Path]
) -> None:
    with (data_dir("crm_sales") / "accounts.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    known = {name: code[4:] for code, name, _ in planet if code.startswith("ISO ")} | SPELLED
    countries = [known[row["office_location"]] for row in rows]
    now = timezone.now()
    with acme.acting() as actor:
        codes = {f"ISO {country}" for country in countries}
        ids = dict(Territory.objects.filter(code__in=codes).values_list("code", "pk"))
        rules = [
            {
                "territory": territory_id,
                "name": code,
                "entity_type": "account",
                "condition": {"field": "billing_country", "operator": "eq", "value": code[4:]},
            }
            for code, territory_id in ids.items()
        ]
        create_rules(actor=actor, rows=Rows.of(TerritoryRule, rules), now=now).raise_if_refused()
        documents = [
            {"name": row["account"], "billing_country": country}
            for row, country in zip(rows, countries, strict=True)
        ]
        made = create_accounts(actor=actor, rows=Rows.of(Account, documents), now=now)
        done = assign_by_rules(
            actor=actor, entity_name="account", record_ids=list(made.ids.values()), now=now
        )
        assert done.moved == len(rows) == 85
    # Branch totals against a recount from the list.
    listed = acme.client().get("/api/v1/accounts/?page_size=500&expand=territory").json()["results"]
    expected: dict[str, int] = defaultdict(int)
    parents = {code: parent for code, _, parent in planet}
    for account in listed:
        code = account["territory_detail"]["code"]
        assert code == f"ISO {account['billing_country']}"
        while code:
            expected[code] += 1
            code = parents[code]
    tree = acme.client().get("/api/v1/territories/tree/?metrics=true&depth=4").json()
    waiting: list[Any] = list(tree["roots"])
    while waiting:
        node = waiting.pop()
        assert node["rolled_up"]["accounts"] == expected.get(node["code"], 0), node["code"]
        waiting += node["children"]
    assert expected["WORLD"] == 85
