"""What PostgreSQL renders, beside a plain renderer in Python that knows values only, not kinds."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import orjson
import pytest
from django.db import connection

from core.access import view
from core.entities import Entity, entities
from tests.factories.records import Marks, Stock, stock
from tests.owning import owning
from tests.worlds import World

pytestmark = pytest.mark.django_db

ODD_TEXT = 'Zoë "Ω" \\ / \u2028 </script> \t\n\x1f 🦊'


@pytest.fixture
def stocked(acme: World) -> Stock:
    return stock(acme, Marks("Acme", 11_000, "2026-06-30"))


def as_json(document: dict[str, Any]) -> Any:
    return json.loads(orjson.dumps(document), parse_float=Decimal)


def plain(value: Any) -> Any:
    """The value as JSON shows it."""
    match value:
        case datetime():
            moment = value.astimezone(UTC).replace(tzinfo=None).isoformat()
            return f"{moment.rstrip('0') if '.' in moment else moment}Z"
        case date() | UUID() | Decimal():
            return str(value)
        case _:
            return value


def shown(entity: Entity, record: Any) -> dict[str, Any]:
    """The record's fields that are columns."""
    return {
        name: plain(getattr(record, field.column)) for name, field in entity.fields.items() if not field.sql
    }


def test_is_what_a_plain_renderer_shows(stocked: Stock) -> None:
    compared = 0
    with stocked.world.acting() as actor:
        for entity in entities:
            seen = view(entity, actor)
            records = seen.records().order_by("pk")
            documents = [json.loads(text) for text in seen.output().texts(records)]
            expected = [shown(entity, record) for record in records]
            assert [
                {name: value for name, value in document.items() if not entity.fields[name].sql}
                for document in documents
            ] == expected, entity.name
            assert all(list(document) == list(seen.output().fields) for document in documents)
            compared += len(documents)
    assert compared > len(entities)


def test_shows_computed_fields_by_their_kind(stocked: Stock) -> None:
    allowed = {"integer": int, "boolean": bool, "text": str, "choice": str, "datetime": str, "uuid": str}
    with stocked.world.acting() as actor:
        for entity in entities:
            seen = view(entity, actor)
            for text in seen.output().texts(seen.records()):
                for name, value in json.loads(text).items():
                    if value is not None and entity.fields[name].sql:
                        assert type(value) is allowed[entity.fields[name].kind], (entity.name, name, value)


@pytest.mark.parametrize(
    ("fraction", "written"), [("", ""), (".5", ".5"), (".000001", ".000001"), (".120", ".12")]
)
def test_cuts_the_zeros_behind_a_second(stocked: Stock, fraction: str, written: str) -> None:
    with stocked.world.acting() as actor:
        seen = view(entities["contact"], actor)
        record_id = stocked.record("contact")
        with owning(), connection.cursor() as cursor:
            cursor.execute(
                "UPDATE crm_contact SET created_at = %s WHERE id = %s",
                [f"2026-01-02T03:04:05{fraction}+02:00", record_id],
            )
        document = as_json(seen.output(["created_at"]).record(record_id)[0])
    assert document == {"created_at": f"2026-01-02T01:04:05{written}Z"}


def test_keeps_every_character_and_every_digit(stocked: Stock) -> None:
    options = '{"big": 123456789012345678901234567890.10, "text": "Zoë \\" \\\\ 🦊", "deep": {"list": [1.10, null]}}'
    with stocked.world.acting() as actor, connection.cursor() as cursor:
        contact, template = stocked.record("contact"), stocked.record("import_template")
        cursor.execute(
            "UPDATE crm_contact SET description = %s, tags = %s WHERE id = %s",
            [ODD_TEXT, ["a, b", "null", '"q"'], contact],
        )
        cursor.execute(
            "UPDATE data_import_importtemplate SET field_mapping = %s WHERE id = %s", [options, template]
        )
        of_contact = view(entities["contact"], actor).output(["description", "tags"]).record(contact)[0]
        of_template = view(entities["import_template"], actor).output(["field_mapping"]).record(template)[0]
    assert as_json(of_contact) == {"description": ODD_TEXT, "tags": ["a, b", "null", '"q"']}
    assert as_json(of_template)["field_mapping"] == {
        "big": Decimal("123456789012345678901234567890.10"),
        "text": 'Zoë " \\ 🦊',
        "deep": {"list": [Decimal("1.10"), None]},
    }


def test_inlines_related_records(stocked: Stock) -> None:
    with stocked.world.acting() as actor:
        contacts, accounts = view(entities["contact"], actor), view(entities["account"], actor)
        of_accounts = {
            document["id"]: document
            for document in map(json.loads, accounts.output().texts(accounts.records()))
        }
        documents = [
            json.loads(text)
            for text in contacts.output(["id", "account"], ["account"]).texts(contacts.records())
        ]
    assert any(document["account"] for document in documents)
    for document in documents:
        assert document["account_detail"] == of_accounts.get(document["account"])


def test_streams_all_records_in_batches(stocked: Stock) -> None:
    with stocked.world.acting() as actor:
        contacts = view(entities["contact"], actor)
        whole = contacts.output().texts(contacts.records().order_by("pk"))
        assert list(contacts.output().stream(contacts.records(), batch=1)) == whole
