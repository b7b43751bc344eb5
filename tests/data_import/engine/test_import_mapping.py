"""Which column is proposed for which field."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from data_import.engine.mapping import MappingTarget, suggest_mapping

DataDir = Callable[[str], Path]

CONTACT = [
    *map(
        MappingTarget,
        ["salutation", "first_name", "middle_name", "last_name", "suffix", "title", "department"],
    ),
    MappingTarget("account", kind="relation"),
    MappingTarget("email", kind="email"),
    MappingTarget("secondary_email", kind="email"),
    MappingTarget("phone", kind="phone"),
    MappingTarget("other_phone", kind="phone"),
    MappingTarget("birth_date", kind="date"),
    *map(MappingTarget, ["mailing_street", "mailing_city", "mailing_postal_code", "mailing_country"]),
    MappingTarget("description"),
    MappingTarget("owner", kind="relation"),
    MappingTarget("website", kind="url"),
    MappingTarget("external_id"),
]
DEAL = [
    MappingTarget("name"),
    MappingTarget("account", kind="relation"),
    MappingTarget("owner", kind="relation"),
    MappingTarget("stage", kind="choice", choices=("prospecting", "closed_won", "closed_lost")),
    MappingTarget("amount", kind="number"),
    MappingTarget("close_date", kind="date"),
    MappingTarget("external_id"),
    MappingTarget("product", kind="relation"),
]


def mapped(
    headers: list[str], targets: list[MappingTarget], rows: list[list[str]] | None = None
) -> dict[str, str]:
    return {
        suggestion.column: suggestion.target for suggestion in suggest_mapping(headers, rows or [], targets)
    }


def test_known_exports_are_understood(data_dir: DataDir) -> None:
    layouts = json.loads((data_dir("vectors") / "export_headers.json").read_text())
    google = mapped(layouts["google_contacts_since_2024"]["columns"], CONTACT)
    assert google["E-mail 1 - Value"] == "email"
    assert google["Phone 1 - Value"] == "phone"
    assert google["Organization Title"] == "title"
    assert google["Name Prefix"] == "salutation"
    assert not {"Phonetic First Name", "E-mail 1 - Label", "Phone 1 - Label", "Photo"} & set(google)
    older = mapped(layouts["google_contacts_before_2024"]["columns_start"], CONTACT)
    assert (older["Given Name"], older["Family Name"], older["Birthday"]) == (
        "first_name",
        "last_name",
        "birth_date",
    )
    assert not {"Name", "Yomi Name", "Given Name Yomi"} & set(older)
    hubspot = mapped(layouts["hubspot_contacts_typical"]["columns"], CONTACT)
    assert (hubspot["Contact owner"], hubspot["Associated Company"]) == ("owner", "account")
    customers = mapped(layouts["datablist_customers"]["columns"], CONTACT)
    assert (customers["Phone 1"], customers["Phone 2"]) == ("phone", "other_phone")


def test_a_real_pipeline_is_understood(data_dir: DataDir) -> None:
    with (data_dir("crm_sales") / "sales_pipeline.csv").open(newline="") as file:
        headers, *rows = list(csv.reader(file))[:100]
    assert mapped(headers, DEAL, rows) == {
        "opportunity_id": "external_id",
        "sales_agent": "owner",
        "product": "product",
        "account": "account",
        "deal_stage": "stage",
        "close_date": "close_date",
        "close_value": "amount",
    }


@pytest.mark.parametrize(
    ("header", "target"),
    [
        ("E-mail Address", "email"),
        ("EMAIL", "email"),
        ("emailAddress", "email"),
        ("Primary E-Mail", "email"),
        ("Fist Name", "first_name"),
        ("Prénom", "first_name"),
        ("Name, Last", "last_name"),
        ("Organisation", "account"),
        ("PLZ", "mailing_postal_code"),
        ("Job-Title", "title"),
    ],
)
def test_names_are_known_in_many_spellings(header: str, target: str) -> None:
    assert mapped([header], CONTACT) == {header: target}


def test_synonyms_of_the_target_count() -> None:
    assert mapped(["Kundennr"], [MappingTarget("custom_fields.number", synonyms=("Kundennr",))]) == {
        "Kundennr": "custom_fields.number"
    }


def test_content_speaks_where_names_do_not() -> None:
    rows = [["ann@example.com", "closed_won"], ["bob@example.com", "prospecting"]]
    assert mapped(["x1", "x2"], [MappingTarget("email", kind="email"), DEAL[3]], rows) == {
        "x1": "email",
        "x2": "stage",
    }


def test_content_overrules_a_near_name() -> None:
    rows = [["not a date at all"], ["neither"]]
    assert mapped(["closing"], [MappingTarget("close_date", kind="date")], rows) == {}
    assert (
        mapped(["Cell"], [MappingTarget("mobile", kind="phone")], [["ann@example.com"], ["b@example.com"]])
        == {}
    )


def test_nothing_is_guessed_for_strangers() -> None:
    assert mapped(["foo", "column_2", "", "Index"], CONTACT, [["a", "b", "c", "1"]]) == {}


def test_targets_and_columns_are_used_once() -> None:
    suggestions = suggest_mapping(["email", "E-mail", "mail"], [], CONTACT)
    assert [(s.column, s.target) for s in suggestions] == [("email", "email")]
    assert all(0.6 <= s.confidence <= 1 and s.reason for s in suggestions)
