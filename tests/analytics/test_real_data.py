"""A real book of deals: every total that is known of it comes out of the API, of the Excel file, and of the PDF's text."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pypdf
import pytest
from python_calamine import CalamineWorkbook

from core.changes import Rows
from core.identity.models import Person, Role
from core.identity.operations.members import create_members
from crm.models import Account, Deal, DealProduct, Product
from crm.operations import create_accounts, create_deal_products, create_deals, create_products
from tests.analytics.conftest import NOW, preview
from tests.analytics.test_files import REPORTS, file_of
from tests.factories.crm import lost_reason, stage
from tests.worlds import PASSWORD, World, make_world

pytestmark = pytest.mark.django_db

# What the pipeline calls by another name than the catalog.
CATALOG_NAMES = {"GTXPro": "GTX Pro"}
STAGES = {
    "Prospecting": "prospecting",
    "Engaging": "qualification",
    "Won": "closed_won",
    "Lost": "closed_lost",
}
WON = [{"field": "status", "operator": "eq", "value": "won"}]
AMOUNT, COUNT = {"field": "amount", "aggregation": "sum"}, {"field": "count", "aggregation": "count"}


def rows_of(folder: Path, name: str) -> list[dict[str, str]]:
    with (folder / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def load(world: World, folder: Path) -> None:
    """The book as it is: people with their managers, accounts, products, deals with a line each where they were won."""
    with world.acting() as actor:
        role = Role.objects.get(name="sales").pk

        def people(names: list[str], managers: dict[str, Any]) -> dict[str, Any]:
            rows = [
                {
                    "email": f"{name.lower().replace(' ', '.')}@{world.company.slug}.test",
                    "first_name": name.split(" ", 1)[0],
                    "last_name": name.split(" ", 1)[1],
                    "role": role,
                    "manager": managers.get(name, world.users["admin"]),
                }
                for name in names
            ]
            outcome = create_members(
                actor=actor,
                rows=Rows.of(Person, rows),
                now=NOW,
                passwords=dict.fromkeys(range(len(rows)), PASSWORD),
            )
            outcome.raise_if_refused()
            return {name: outcome.ids[place] for place, name in enumerate(names)}

        teams = rows_of(folder, "sales_teams.csv")
        managers = people(sorted({row["manager"] for row in teams}), {})
        agents = people(
            [row["sales_agent"] for row in teams],
            {row["sales_agent"]: managers[row["manager"]] for row in teams},
        )

        def made(model: Any, create: Callable[..., Any], rows: list[dict[str, Any]]) -> list[Any]:
            outcome = create(actor=actor, rows=Rows.of(model, rows), now=NOW)
            outcome.raise_if_refused()
            return [outcome.ids[place] for place in range(len(rows))]

        names = [row["account"] for row in rows_of(folder, "accounts.csv")]
        industries = [
            {"name": row["account"], "industry": row["sector"]} for row in rows_of(folder, "accounts.csv")
        ]
        accounts = dict(zip(names, made(Account, create_accounts, industries), strict=True))
        catalog = [row["product"] for row in rows_of(folder, "products.csv")]
        products = dict(
            zip(
                catalog,
                made(Product, create_products, [{"name": name, "sku": name} for name in catalog]),
                strict=True,
            )
        )
        reason = lost_reason().pk
        stages = {name: stage(code).pk for name, code in STAGES.items()}
        book = rows_of(folder, "sales_pipeline.csv")
        deals = made(
            Deal,
            create_deals,
            [
                {
                    "name": row["opportunity_id"],
                    "owner": agents[row["sales_agent"]],
                    "account": accounts.get(row["account"]),
                    "stage": stages[row["deal_stage"]],
                    "amount": Decimal(row["close_value"] or 0),
                    "currency": "USD",
                    "close_date": date.fromisoformat(row["close_date"] or "2018-01-31"),
                    "lost_reason": reason if row["deal_stage"] == "Lost" else None,
                }
                for row in book
            ],
        )
        made(
            DealProduct,
            create_deal_products,
            [
                {
                    "deal": deal,
                    "product": products[CATALOG_NAMES.get(row["product"], row["product"])],
                    "quantity": Decimal(1),
                    "unit_price": Decimal(row["close_value"]),
                }
                for deal, row in zip(deals, book, strict=True)
                if row["deal_stage"] == "Won"
            ],
        )


def by_label(answer: dict[str, Any], place: int = 0) -> dict[str, Any]:
    """Of the last column: what stands at each row."""
    return {
        header["labels"][0]: line[-1][place]
        for header, line in zip(answer["rows"], answer["cells"], strict=True)
        if header["kind"] == "detail"
    }


def as_numbers(found: dict[str, Any]) -> dict[str, int]:
    return {name: int(Decimal(value)) for name, value in found.items()}


@pytest.fixture
def sales(db: None, data_dir: Callable[[str], Path]) -> tuple[Any, dict[str, Any]]:
    folder = data_dir("crm_sales")
    world = make_world("acme")
    load(world, folder)
    return world.client("admin"), json.loads((folder / "known.json").read_text())


def test_what_is_known_of_the_book_comes_out_everywhere(sales: tuple[Any, dict[str, Any]]) -> None:
    client, known = sales
    won = {"pivot_filters": WON, "pivot_values": [AMOUNT, COUNT]}

    for name, rows in (
        ("manager", "owner.manager"),
        ("agent", "owner"),
        ("product", "product"),
        ("sector", "account.industry"),
    ):
        answer = preview(client, pivot_rows=[rows], **won)
        assert as_numbers(by_label(answer)) == {
            label: value
            for label, value in known[f"won_sum_by_{name}"].items()
            if known[f"won_count_by_{name}"][label]
        }
        assert by_label(answer, 1) == {
            label: value for label, value in known[f"won_count_by_{name}"].items() if value
        }
        assert int(Decimal(answer["cells"][-1][-1][0])) == known["won"]["sum"]

    months = preview(client, pivot_rows=["close_date:month"], **won)
    found = {
        header["key"][0][:7]: int(Decimal(line[-1][0]))
        for header, line in zip(months["rows"], months["cells"], strict=True)
        if header["key"]
    }
    assert found == known["won_sum_by_month"]

    figures = preview(
        client,
        pivot_filters=WON,
        pivot_values=[
            {"field": "amount", "aggregation": name} for name in ("sum", "min", "max", "median", "avg")
        ],
    )["cells"][0][0]
    assert [Decimal(item) for item in figures[:4]] == [
        Decimal(str(known["won"][name])) for name in ("sum", "min", "max", "median")
    ]
    assert round(Decimal(figures[4]), 4) == Decimal(str(known["won"]["mean"]))

    blank = preview(client, pivot_rows=["account"], pivot_columns=["stage"], pivot_values=[COUNT])
    [nobody] = [
        line for header, line in zip(blank["rows"], blank["cells"], strict=True) if header["key"] == [None]
    ]
    assert nobody[-1][0] == known["blank_account"]["total"]

    body = {
        "name": "Won by manager and quarter",
        "data_source": "deals",
        "pivot_rows": ["owner.manager"],
        "pivot_columns": ["quarter"],
        "pivot_values": [AMOUNT],
        "pivot_filters": WON,
    }
    report = client.post(REPORTS, body).json()
    expected = known["won_sum_manager_x_quarter"]
    answer = client.post(f"{REPORTS}{report['id']}/run/").json()
    quarters = [f"2017-{header['labels'][0][:2]}" for header in answer["columns"] if header["key"]]
    shown = {
        header["labels"][0]: {
            quarter: int(Decimal(cell[0])) for quarter, cell in zip(quarters, line, strict=False) if cell
        }
        for header, line in zip(answer["rows"], answer["cells"], strict=True)
        if header["key"]
    }
    assert shown == expected

    book = CalamineWorkbook.from_filelike(io.BytesIO(file_of(client, report, "excel")))
    cells = [row for name in book.sheet_names for row in book.get_sheet_by_name(name).to_python()]
    in_file = {
        row[0]: {quarter: int(value) for quarter, value in zip(quarters, row[1:], strict=False)}
        for row in cells
        if row and row[0] in expected
    }
    assert in_file == expected

    text = "".join(
        page.extract_text() for page in pypdf.PdfReader(io.BytesIO(file_of(client, report, "pdf"))).pages
    )
    for manager, row in expected.items():
        assert manager in text
        for value in row.values():
            assert f"{value:,}" in text
    assert f"{known['won']['sum']:,}" in text
