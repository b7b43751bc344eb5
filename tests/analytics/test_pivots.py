"""Pivots against a recomputation in plain Python of the records the API shows, and the records behind each cell."""

from __future__ import annotations

import json
import statistics
from collections import defaultdict
from collections.abc import Callable
from datetime import date, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any
from urllib.parse import quote
from zoneinfo import ZoneInfo

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.access.modes import MODE_PROVIDERS, FieldMode, Mode
from core.identity.models import Company
from core.tenancy.context import system_context
from tests.analytics.conftest import preview

pytestmark = pytest.mark.django_db

CENT = Decimal("0.01")
MICRO = Decimal("0.000001")
MEASURES: dict[str, dict[str, Any]] = {
    "count": {"field": "count", "aggregation": "count"},
    "amount_sum": {"field": "amount", "aggregation": "sum"},
    "amount_avg": {"field": "amount", "aggregation": "avg"},
    "amount_min": {"field": "amount", "aggregation": "min"},
    "amount_max": {"field": "amount", "aggregation": "max"},
    "amount_median": {"field": "amount", "aggregation": "median"},
    "amount_stddev": {"field": "amount", "aggregation": "stddev"},
    "account_count_distinct": {"field": "account", "aggregation": "count_distinct"},
    "next_step_date_count": {"field": "next_step_date", "aggregation": "count"},
}
BY_LINES = ("count", "amount_sum", "account_count_distinct", "next_step_date_count")
ZONE = "America/Los_Angeles"
FISCAL = 4


def _quarter(day: date, start: int = 1) -> str:
    months = day.year * 12 + day.month - 1 - (start - 1)
    months = months - months % 3 + start - 1
    return date(months // 12, months % 12 + 1, 1).isoformat()


def _year(day: date, start: int) -> str:
    return date(day.year if day.month >= start else day.year - 1, start, 1).isoformat()


def _day(text: str) -> date:
    return date.fromisoformat(text)


def _local(text: str) -> date:
    return datetime.fromisoformat(text).astimezone(ZoneInfo(ZONE)).date()


def _account(deal: dict[str, Any]) -> dict[str, Any]:
    return deal["account_detail"] or {}


DIMENSIONS: dict[str, tuple[Any, Callable[[dict[str, Any]], Any]]] = {
    "stage": ("stage", lambda deal: deal["stage"]),
    "account": ("account", lambda deal: deal["account"]),
    "account.industry": ("account.industry", lambda deal: _account(deal).get("industry") or None),
    "deal_type": ("deal_type", lambda deal: deal["deal_type"]),
    "source": ("source", lambda deal: deal["source"] or None),
    "is_closed": ("is_closed", lambda deal: deal["is_closed"]),
    "quarter": ("quarter", lambda deal: _quarter(_day(deal["close_date"]))),
    "close_date:fiscal_quarter": (
        "close_date:fiscal_quarter",
        lambda deal: _quarter(_day(deal["close_date"]), FISCAL),
    ),
    "close_date:fiscal_year": (
        "close_date:fiscal_year",
        lambda deal: _year(_day(deal["close_date"]), FISCAL),
    ),
    "close_date:weekday": ("close_date:weekday", lambda deal: _day(deal["close_date"]).isoweekday()),
    "created_at:month": (
        "created_at:month",
        lambda deal: _local(deal["created_at"]).replace(day=1).isoformat(),
    ),
    "created_at": ("created_at", lambda deal: _local(deal["created_at"]).isoformat()),
    "probability": (
        {"field": "probability", "bin_size": "25"},
        lambda deal: str(deal["probability"] // 25 * 25),
    ),
}


class Book:
    """The company's deals as the API shows them, and what each amounts to in dollars."""

    def __init__(self, client: Any) -> None:
        self.client = client
        answer = client.get("/api/v1/deals/?page_size=500&expand=account").json()
        assert answer["next"] is None
        self.deals = {deal["id"]: deal for deal in answer["results"]}
        self.lines: dict[str, list[dict[str, Any]]] = {
            key: client.get(f"/api/v1/deals/{key}/products/").json()["results"] for key in self.deals
        }

    def dollars(self, deal: dict[str, Any], amount: Decimal) -> Decimal:
        if deal["currency"] == "USD":
            return amount
        rate = Decimal("1.25") if deal["close_date"] >= "2026-03-01" else Decimal("1.10")
        return (amount * rate).quantize(CENT, ROUND_HALF_UP)

    def parts(self, *, by_lines: bool) -> list[tuple[dict[str, Any], Any, Decimal]]:
        """(deal, product, dollars)"""
        found = []
        for key, deal in self.deals.items():
            amount, lines = Decimal(deal["amount"]), self.lines[key]
            if not by_lines:
                found.append((deal, None, self.dollars(deal, amount)))
                continue
            rest = amount - sum(Decimal(line["total"]) for line in lines)
            found += [(deal, line["product"], self.dollars(deal, Decimal(line["total"]))) for line in lines]
            if rest or not lines:
                found.append((deal, None, self.dollars(deal, rest)))
        return found


def recomputed(name: str, parts: list[tuple[dict[str, Any], Any, Decimal]]) -> Any:
    deals = {deal["id"]: deal for deal, _, _ in parts}
    amounts = [amount for _, _, amount in parts]
    match name:
        case "count":
            return len(deals)
        case "account_count_distinct":
            return len({deal["account"] for deal in deals.values()} - {None})
        case "next_step_date_count":
            return sum(deal["next_step_date"] is not None for deal in deals.values())
        case "amount_sum":
            return sum(amounts, Decimal(0))
        case "amount_avg":
            return sum(amounts, Decimal(0)) / len(amounts)
        case "amount_min":
            return min(amounts)
        case "amount_max":
            return max(amounts)
        case "amount_median":
            return statistics.median(amounts)
        case "amount_stddev":
            return statistics.stdev(amounts) if len(amounts) > 1 else None
    raise AssertionError(name)


def same(shown: Any, expected: Any) -> bool:
    if shown is None or expected is None:
        return shown is expected
    if isinstance(expected, int):
        return bool(shown == expected)
    return abs(Decimal(shown) - Decimal(str(expected))) <= MICRO


@pytest.fixture
def book(acme: Any) -> Book:
    with system_context("test"):
        Company.objects.filter(pk=acme.company.pk).update(timezone=ZONE, fiscal_year_start_month=FISCAL)
    return Book(acme.client("admin"))


def keys_of(part: Any) -> Any:
    return part if not isinstance(part, dict) else "OTHER"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_random_pivots_are_what_plain_python_makes_of_the_records(book: Book, data: Any) -> None:
    names = data.draw(st.lists(st.sampled_from(sorted(DIMENSIONS)), max_size=4, unique=True))
    by_lines = data.draw(st.booleans())
    cut = data.draw(st.integers(0, len(names)))
    measures = data.draw(
        st.lists(st.sampled_from(BY_LINES if by_lines else sorted(MEASURES)), min_size=1, unique=True)
    )
    top = data.draw(st.none() | st.integers(1, 3))
    rows = [DIMENSIONS[name] for name in names[:cut]]
    columns = [DIMENSIONS[name] for name in names[cut:]]
    if by_lines:
        rows.append(("product", lambda deal: None))
    document = {
        "pivot_rows": [item[0] for item in rows],
        "pivot_columns": [item[0] for item in columns],
        "pivot_values": [MEASURES[name] for name in measures],
        "limits": {"rows": top} if top else {},
    }
    answer = preview(book.client, **document)
    assert answer["row_count"] == len(book.deals)

    # The parts by the keys of all their levels, everything beside the kept ones as one.
    kept = {
        header["key"][0]
        for header in answer["rows"]
        if header["key"] and keys_of(header["key"][0]) != "OTHER"
    }
    groups: dict[tuple[Any, Any], list[Any]] = defaultdict(list)
    for part in book.parts(by_lines=by_lines):
        key = [function(part[0]) for _, function in rows]
        if by_lines:
            key[-1] = part[1]
        if top and key and key[0] not in kept and key[0] is not None:
            key[0] = "OTHER"
        other = [function(part[0]) for _, function in columns]
        for deep in range(len(key) + 1):
            for wide in range(len(other) + 1):
                groups[tuple(key[:deep]), tuple(other[:wide])].append(part)

    seen = set()
    for header, line in zip(answer["rows"], answer["cells"], strict=True):
        for beside, cell in zip(answer["columns"], line, strict=True):
            place = tuple(map(keys_of, header["key"])), tuple(map(keys_of, beside["key"]))
            if cell is None:
                assert place not in groups
                continue
            seen.add(place)
            for name, shown in zip(measures, cell, strict=True):
                expected = recomputed(name, groups[place])
                assert same(shown, expected), (place, name, shown, expected)
    assert seen == groups.keys()
    if top and rows and not by_lines:
        # The kept ones are the largest by the first measure.
        assert len(kept - {None}) <= top


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=8)
@given(data=st.data())
def test_the_records_behind_a_cell_add_up_to_it(book: Book, data: Any) -> None:
    names = data.draw(st.lists(st.sampled_from(sorted(DIMENSIONS)), min_size=1, max_size=3, unique=True))
    by_lines = data.draw(st.booleans())
    rows = [DIMENSIONS[name][0] for name in names[:2]] + (["product"] if by_lines else [])
    columns = [DIMENSIONS[name][0] for name in names[2:]]
    body = {
        "name": f"R{data.draw(st.uuids())}",
        "data_source": "deals",
        "pivot_rows": rows,
        "pivot_columns": columns,
        "pivot_values": [MEASURES["count"], MEASURES["amount_sum"]],
        "limits": {"rows": 2},
    }
    made = book.client.post("/api/v1/analytics/reports/", body)
    assert made.status_code == 201, made.content
    path = f"/api/v1/analytics/reports/{made.json()['id']}/"
    answer = book.client.post(f"{path}run/").json()
    cells = [
        (header["key"], beside["key"], cell)
        for header, line in zip(answer["rows"], answer["cells"], strict=True)
        for beside, cell in zip(answer["columns"], line, strict=True)
    ]
    for row, column, cell in data.draw(st.lists(st.sampled_from(cells), min_size=1, max_size=12)):
        query = f"?row={quote(json.dumps(row))}&column={quote(json.dumps(column))}&page_size=500"
        found = book.client.get(f"{path}drill/{query}")
        assert found.status_code == 200, found.content
        records = found.json()["results"]
        assert found.json()["count"] == len(records) == (cell[0] if cell else 0)
        if cell and not by_lines:
            total = sum(book.dollars(deal, Decimal(deal["amount"])) for deal in records)
            assert total == Decimal(cell[1])


def test_an_answer_takes_as_many_statements_however_much_it_asks(book: Book) -> None:
    counts = []
    for rows, columns in (
        ([], []),
        (["stage", "account.industry", "product", "account"], ["quarter", "deal_type"]),
    ):
        with CaptureQueriesContext(
            connection,
        ) as captured:
            preview(book.client, pivot_rows=rows, pivot_columns=columns)
        counts.append(len(captured))
    assert counts[0] == counts[1]


def test_shares_and_changes_come_from_the_totals_of_the_database(book: Book) -> None:
    amount = {"field": "amount", "aggregation": "sum"}
    answer = preview(
        book.client,
        pivot_rows=["deal_type"],
        pivot_columns=["quarter"],
        pivot_values=[
            amount,
            {**amount, "name": "of_row", "show_as": "share_of_row"},
            {**amount, "name": "of_all", "show_as": "share_of_total"},
            {**amount, "name": "so_far", "show_as": "running_total"},
            {**amount, "name": "change", "show_as": "difference"},
            {"formula": "amount_sum / count", "name": "each"},
            {"formula": "amount_sum / (count - count)", "name": "never"},
            MEASURES["count"],
        ],
    )
    total = answer["cells"][-1][-1]
    assert total[1] == total[2] == "1.000000"
    for line in answer["cells"]:
        running = Decimal(0)
        before = None
        for header, cell in zip(answer["columns"][:-1], line, strict=False):
            if cell is None:
                before = None
                continue
            running += Decimal(cell[0])
            assert Decimal(cell[3]) == running
            assert same(cell[1], Decimal(cell[0]) / Decimal(line[-1][0]))
            assert same(cell[2], Decimal(cell[0]) / Decimal(total[0]))
            assert same(cell[5], Decimal(cell[0]) / cell[7])
            assert cell[6] is None
            if before and _quarter_before(header["key"][0]) == before[0]:
                assert Decimal(cell[4]) == Decimal(cell[0]) - before[1]
            before = (header["key"][0], Decimal(cell[0]))


def _quarter_before(start: str) -> str:
    day = date.fromisoformat(start)
    return (day.replace(month=day.month - 3) if day.month > 3 else date(day.year - 1, 10, 1)).isoformat()


def test_people_see_their_own_records_and_nobody_the_neighbors(acme: Any, rooms: Any) -> None:
    everything = preview(acme.client("admin"), pivot_rows=["account"], pivot_values=[MEASURES["amount_sum"]])
    assert everything["row_count"] == 60
    assert Decimal(everything["cells"][-1][0][0]) < 1_000_000
    nothing = preview(acme.client("sales"), pivot_rows=["account"])
    assert nothing["row_count"] == 0
    assert nothing["cells"] == [[[0]]]
    theirs = rooms[1].client("admin")
    made = (
        acme.client("admin").post("/api/v1/analytics/reports/", {"name": "R", "data_source": "deals"}).json()
    )
    for answer in (
        theirs.post(f"/api/v1/analytics/reports/{made['id']}/run/"),
        theirs.get(f"/api/v1/analytics/reports/{made['id']}/drill/"),
    ):
        assert answer.status_code == 404


class _Modes:
    """Amounts are hidden and sources masked for whoever may not delete."""

    def version(self, actor: Any) -> int:
        return 1

    def modes(self, entity: Any, company_id: Any, rights: Any) -> dict[str, FieldMode]:
        if entity.name != "deal" or rights.can("delete"):
            return {}
        return {"amount": FieldMode(Mode.HIDDEN), "source": FieldMode(Mode.MASK)}


@pytest.mark.parametrize(
    "asked",
    [
        lambda name: {"pivot_rows": [name]},
        lambda name: {"pivot_columns": [{"field": name}]},
        lambda name: {"pivot_values": [{"field": name, "aggregation": "count_distinct"}]},
        lambda name: {"pivot_filters": [{"field": name, "operator": "is_not_null"}]},
    ],
)
def test_a_hidden_field_is_unknown_and_a_masked_one_refused(
    acme: Any, monkeypatch: pytest.MonkeyPatch, asked: Any
) -> None:
    entries = [*MODE_PROVIDERS, _Modes()]
    monkeypatch.setattr("core.access.field_access.MODE_PROVIDERS", entries)
    client = acme.client("viewer")

    def refusal(name: str) -> Any:
        answer = client.post("/api/v1/analytics/reports/preview/", {"data_source": "deals", **asked(name)})
        [fault] = answer.json()["errors"]
        # What it resembles among the fields there are is added to some.
        detail = fault["detail"].partition(" Did you mean")[0].replace(name, "X")
        return answer.status_code, fault["code"], detail, fault["path"]

    assert refusal("amount") == refusal("no_such_field")
    assert refusal("amount")[:2] == (400, "unknown_field")
    assert refusal("source")[:2] == (403, "field_masked")


def test_amounts_without_a_rate_are_refused_not_added(acme: Any) -> None:
    client = acme.client("admin")
    for rate in client.get("/api/v1/exchange-rates/").json()["results"]:
        client.delete(f"/api/v1/exchange-rates/{rate['id']}/")
    body = {"data_source": "deals", "pivot_values": [MEASURES["amount_sum"]]}
    answer = client.post("/api/v1/analytics/reports/preview/", body)
    assert (answer.status_code, answer.json()["code"]) == (422, "rate_missing")
    body["pivot_filters"] = [{"field": "currency", "operator": "eq", "value": "USD"}]
    assert client.post("/api/v1/analytics/reports/preview/", body).status_code == 200


@pytest.mark.parametrize(
    ("document", "path", "code"),
    [
        ({"data_source": "nothing"}, "data_source", "not_a_choice"),
        ({"pivot_rows": ["tags"]}, "pivot_rows.0", "fan_out"),
        ({"pivot_rows": ["stage", "stage"]}, "pivot_columns", "duplicate"),
        ({"pivot_rows": ["account.parent.parent.name"]}, "pivot_rows.0", "too_many_relations"),
        ({"pivot_values": [{"field": "account.annual_revenue"}]}, "pivot_values.0.field", "fan_out"),
        (
            {"pivot_rows": ["product"], "pivot_values": [{"field": "amount", "aggregation": "avg"}]},
            "pivot_values.0.aggregation",
            "fan_out",
        ),
        ({"pivot_values": [{"formula": "__import__('os')"}]}, "pivot_values.0.formula", "bad_formula"),
        ({"pivot_values": [{"formula": "nothing / 2"}]}, "pivot_values.0.formula", "unknown_measure"),
        ({"pivot_values": [{"field": "name"}]}, "pivot_values.0.aggregation", "aggregation_not_allowed"),
        ({"sort": {"by": "nothing"}}, "sort.by", "not_a_choice"),
        ({"chart_config": {"type": "bar", "x_axis": "stage"}}, "chart_config.x_axis", "not_a_choice"),
        ({"limits": {"rows": 0}}, "limits.rows", "too_small"),
    ],
)
def test_what_cannot_be_asked_is_said_with_its_place(acme: Any, document: Any, path: str, code: str) -> None:
    body = {"data_source": "deals", **document}
    answer = acme.client("admin").post("/api/v1/analytics/reports/preview/", body)
    assert answer.status_code == 400, answer.content
    assert (path, code) in [(fault["path"], fault["code"]) for fault in answer.json()["errors"]]


def test_the_documented_body_is_taken_as_it_stands(acme: Any) -> None:
    body = {
        "name": "Revenue by region and product",
        "report_type": "interactive_pivot",
        "data_source": "deals",
        "pivot_rows": ["account.billing_country", "product"],
        "pivot_columns": ["stage", "quarter"],
        "pivot_values": [
            {"field": "amount", "aggregation": "sum"},
            {"field": "count", "aggregation": "count"},
        ],
        "pivot_filters": [],
        "chart_config": {"type": "bar", "x_axis": "product", "y_axis": "amount", "color_by": "stage"},
        "is_scheduled": True,
        "schedule_frequency": "weekly",
        "schedule_recipients": ["lead@example.com"],
        "delivery_format": "pdf",
    }
    client = acme.client("admin")
    made = client.post("/api/v1/analytics/reports/", body)
    assert made.status_code == 201, made.content
    assert body.items() <= made.json().items()
    path = f"/api/v1/analytics/reports/{made.json()['id']}/"
    answer = client.post(
        f"{path}run/", {"filters": [{"field": "currency", "operator": "eq", "value": "EUR"}]}
    )
    assert answer.status_code == 200, answer.content
    assert 0 < answer.json()["row_count"] < 60
    [noted] = client.get(f"{path}runs/").json()["results"]
    assert noted["row_count"] == answer.json()["row_count"]


def test_a_shared_report_is_read_by_those_it_is_shared_with_and_changed_by_its_owner(acme: Any) -> None:
    client, colleague = acme.client("manager"), acme.client("sales")
    made = client.post("/api/v1/analytics/reports/", {"name": "Mine", "data_source": "deals"}).json()
    path = f"/api/v1/analytics/reports/{made['id']}/"
    assert colleague.get(path).status_code == 404
    shared = {"visibility": "shared", "shared_with": [str(acme.users["sales"])]}
    assert client.patch(path, shared).status_code == 200
    assert colleague.get(path).status_code == 200
    assert colleague.post(f"{path}run/").status_code == 200
    assert colleague.patch(path, {"name": "Yours"}).status_code in (403, 404)
    assert client.patch(path, {"visibility": "company", "shared_with": []}).status_code == 200
    assert colleague.get(path).status_code == 200
