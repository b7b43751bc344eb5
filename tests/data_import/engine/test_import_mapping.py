"""Which column is proposed for which field."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from data_import.engine.mapping import Target, suggest_mapping

DataDir = Callable[[str], Path]

CONTACT = [
    *map(Target, ["salutation", "first_name", "middle_name", "last_name", "suffix", "title", "department"]),
    Target("account", kind="relation"),
    Target("email", kind="email"),
    Target("secondary_email", kind="email"),
    Target("phone", kind="phone"),
    Target("other_phone", kind="phone"),
    Target("birth_date", kind="date"),
    *map(Target, ["mailing_street", "mailing_city", "mailing_postal_code", "mailing_country"]),
    Target("description"),
    Target("owner", kind="relation"),
    Target("website", kind="url"),
    Target("external_id"),
]
DEAL = [
    Target("name"),
    Target("account", kind="relation"),
    Target("owner", kind="relation"),
    Target("stage", kind="choice", choices=("prospecting", "closed_won", "closed_lost")),
    Target("amount", kind="number"),
    Target("close_date", kind="date"),
    Target("external_id"),
    Target("product", kind="relation"),
]


def mapped(headers: list[str], targets: list[Target], rows: list[list[str]] | None = None) -> dict[str, str]:
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
    assert mapped(["Kundennr"], [Target("custom_fields.number", synonyms=("Kundennr",))]) == {
        "Kundennr": "custom_fields.number"
    }


def test_content_speaks_where_names_do_not() -> None:
    rows = [["ann@example.com", "closed_won"], ["bob@example.com", "prospecting"]]
    assert mapped(["x1", "x2"], [Target("email", kind="email"), DEAL[3]], rows) == {
        "x1": "email",
        "x2": "stage",
    }


def test_content_overrules_a_near_name() -> None:
    rows = [["not a date at all"], ["neither"]]
    assert mapped(["closing"], [Target("close_date", kind="date")], rows) == {}
    assert mapped(["Cell"], [Target("mobile", kind="phone")], [["ann@example.com"], ["b@example.com"]]) == {}


def test_nothing_is_guessed_for_strangers() -> None:
    assert mapped(["foo", "column_2", "", "Index"], CONTACT, [["a", "b", "c", "1"]]) == {}


def test_targets_and_columns_are_used_once() -> None:
    suggestions = suggest_mapping(["email", "E-mail", "mail"], [], CONTACT)
    assert [(s.column, s.target) for s in suggestions] == [("email", "email")]
    assert all(0.6 <= s.confidence <= 1 and s.reason for s in suggestions)
