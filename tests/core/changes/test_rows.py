"""A single row travels as parameters, many as one JSON document: what PostgreSQL reads is the same."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from django.db import DataError, connection, models, transaction
from hypothesis import given, settings
from hypothesis import strategies as st

from core.changes import Rows, writes
from core.kernel.ids import uuid7
from core.tenancy.context import system_context
from crm.models import Contact, Deal
from tests.worlds import World

pytestmark = pytest.mark.django_db

TEXT = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=30)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**80), 2**80) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
CONTACT = st.fixed_dictionaries(
    {},
    optional={
        "last_name": TEXT,
        "description": TEXT | st.none(),
        "tags": st.lists(TEXT, max_size=4),
        "custom_fields": st.dictionaries(TEXT, JSON, max_size=3),
        "birth_date": st.dates() | st.none(),
        "do_not_call": st.booleans(),
        "last_contacted_at": st.datetimes(min_value=datetime(1, 1, 2), timezones=st.just(UTC)) | st.none(),
        "account": st.uuids() | st.none(),
    },
)
DEAL = st.fixed_dictionaries(
    {"amount": st.decimals(-(10**12), 10**12, places=4) | st.none()},
    optional={"probability": st.integers(0, 100) | st.none(), "expected_version": st.integers(0, 2**31 - 1)},
)


def read(rows: Rows) -> list[dict[str, Any]]:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT to_jsonb(r) - 'ord' - 'doc' FROM ({rows.sql}) r ORDER BY r.ord", rows.params)
        return [found for (found,) in cursor.fetchall()]


def check(model: type[models.Model], row: dict[str, Any]) -> None:
    row = {"id": uuid7(), **row}
    alone, among = Rows.of(model, [row]), Rows.of(model, [row, row])

    assert alone.columns == among.columns
    assert read(alone) * 2 == read(among)


@pytest.fixture(autouse=True)
def _somewhere() -> Any:
    with system_context("a test"):
        yield


class TestRows:
    @settings(max_examples=60)
    @given(CONTACT)
    def test_say_the_same_alone_and_among_others(self, row):
        check(Contact, row)

    @settings(max_examples=30)
    @given(DEAL)
    def test_say_the_same_numbers(self, row):
        check(Deal, row)

    @pytest.mark.parametrize(
        "text", ["{a,b}", '"', "\\", "NULL", "null", "%s", "%(company)s", "$1", "'", "", "ü€😀"]
    )
    def test_take_texts_as_they_are(self, text):
        check(Contact, {"last_name": text, "tags": [text, "x"], "custom_fields": {text: text}})

    def test_ask_for_one_statement_whatever_the_values(self):
        def key(row: dict[str, Any]) -> tuple[str, list[type]]:
            rows = Rows.of(Contact, [row])
            return rows.sql, [type(value) for value in rows.params if value is not None]

        full = {"birth_date": date(2000, 1, 1), "account": uuid7(), "do_not_call": True}
        assert key(full) == (Rows.of(Contact, [dict.fromkeys(full)]).sql, [str] * 4)
        assert key({"custom_fields": {"a": Decimal("1.5")}})[1] == [str, str]

    def test_that_are_too_long_are_refused_not_cut(self, acme: World):
        with acme.acting() as actor:
            row = {"last_name": "x" * 101, "owner": actor.user_id}
            with pytest.raises(DataError), transaction.atomic():
                writes.insert(
                    writes.WriteSpec(Contact),
                    Rows.of(Contact, [row]),
                    actor=actor,
                    now=datetime(2026, 1, 1, tzinfo=UTC),
                )
