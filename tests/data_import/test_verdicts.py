"""A cell means the same to an import as a value to the API: SQL verdicts against the kinds of fields."""

from __future__ import annotations

import string
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from core.entities import Field, entities
from core.entities.kinds import BadValue, Kind
from data_import.compiler.verdicts import READABLE, canonical, checks_of, verdict
from data_import.engine.formats import WHITESPACE

# One field of each kind whose verdict is SQL's, with limits.
FIELDS = {
    Kind.TEXT: ("contact", "first_name"),
    Kind.EMAIL: ("contact", "email"),
    Kind.PHONE: ("contact", "phone"),
    Kind.URL: ("account", "website"),
    Kind.COUNTRY: ("account", "billing_country"),
    Kind.CURRENCY: ("account", "currency"),
    Kind.CHOICE: ("lead", "status"),
    Kind.INTEGER: ("account", "number_of_employees"),
    Kind.MONEY: ("deal", "amount"),
    Kind.DECIMAL: ("deal_product", "quantity"),
    Kind.BOOLEAN: ("contact", "do_not_call"),
    Kind.DATE: ("deal", "close_date"),
    Kind.DATETIME: ("deal", "closed_at"),
}

_words = st.text(
    alphabet=string.ascii_letters + string.digits + "@.:/-_ ,;<>()[]\\\"?#%{}'é\u00a0\u2003\t", max_size=40
)
_numbers = st.one_of(
    st.integers(-(10**20), 10**20).map(str),
    st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**18), max_value=10**18, places=3).map(
        str
    ),
    st.from_regex(r"\A[-+]?[0-9]{0,19}(\.[0-9]{0,5})?\Z"),
)
_dates = st.one_of(
    st.dates().map(str),
    st.from_regex(r"\A[0-9]{4}-[0-9]{2}-[0-9]{2}\Z"),
    st.from_regex(r"\A[0-9]{1,4}[-/][0-9]{1,2}\Z"),
)
_moments = st.one_of(
    st.datetimes(timezones=st.just(__import__("datetime").UTC)).map(lambda moment: moment.isoformat()),
    st.from_regex(r"\A[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}(:[0-9]{2})?Z\Z"),
)
_addresses = st.from_regex(r"\A[a-z.+ ]{0,6}@?[a-z.-]{0,8}\.?[a-z]{0,4}\Z")


def _field(kind: Kind) -> Field:
    entity, name = FIELDS[kind]
    return entities[entity].fields[name]


def _by_sql(field: Field, value: str) -> tuple[str | None, str | None]:
    checks = checks_of(field)
    code, kept = verdict(checks, "x.v"), canonical(field, "x.v")
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT y.code, CASE WHEN y.code IS NULL THEN {kept.replace('x.v', 'y.v')} END "
            f"FROM (SELECT x.v, {code} AS code FROM (SELECT %s::text AS v) x) y",
            [value],
        )
        found: tuple[str | None, str | None] = cursor.fetchone()
    return found


def _by_kind(field: Field, value: str) -> tuple[str | None, Any]:
    try:
        return None, field.type.from_text(field, value)
    except BadValue as bad:
        return bad.code, None


def _same(field: Field, value: str) -> None:
    code, kept = _by_sql(field, value)
    expected, read = _by_kind(field, value)
    assert (code is None) == (expected is None), (value, code, expected)
    if expected is not None:
        assert code == expected or {code, expected} <= {"not_a_datetime", "zone_missing"}, value
    elif isinstance(read, Decimal):
        assert Decimal(str(kept)) == read
    elif isinstance(read, bool):
        assert kept == str(read).lower()
    elif isinstance(read, int):
        assert int(str(kept)) == read
    elif isinstance(read, str):
        assert kept == read


@pytest.mark.django_db
class TestSqlReadsWhatTheApiReads:
    @pytest.mark.parametrize(
        "kind", [Kind.TEXT, Kind.EMAIL, Kind.PHONE, Kind.URL, Kind.COUNTRY, Kind.CURRENCY]
    )
    @settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(
        value=st.one_of(
            _words, _addresses, st.text(min_size=95, max_size=260), st.sampled_from(["DE", "de", "EUR"])
        )
    )
    @example(value="a@b.c")
    @example(value="a\u3000b@c.de")
    def test_texts(self, kind: Kind, value: str) -> None:
        text = value.replace("\0", "").strip(WHITESPACE)
        if text:
            _same(_field(kind), text)

    @pytest.mark.parametrize("kind", [Kind.MONEY, Kind.DECIMAL])
    @settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(
        value=st.one_of(
            _numbers, st.sampled_from(["1e5", "-0", "0.000", "1E-1", "NaN", "Infinity", "1_0", "0x1F"])
        )
    )
    def test_numbers(self, kind: Kind, value: str) -> None:
        if value.strip():
            _same(_field(kind), value)

    @settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(value=st.one_of(st.integers(-(10**19), 10**19).map(str), st.from_regex(r"\A[-+]?[0-9a-z]{1,6}\Z")))
    def test_whole_numbers(self, value: str) -> None:
        digits = value.lstrip("+-")
        # 1e5 is a whole number to an import, and a text that is none to a query parameter.
        if len(digits) <= 18 and not ("e" in digits and digits.replace("e", "").isdigit()):
            _same(_field(Kind.INTEGER), value)

    @settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(value=_dates)
    @example(value="2024-02-30")
    @example(value="0000-01-01")
    def test_dates(self, value: str) -> None:
        _same(_field(Kind.DATE), value)

    @settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(value=_moments)
    def test_moments(self, value: str) -> None:
        _same(_field(Kind.DATETIME), value)

    @pytest.mark.parametrize("value", ["new", "NEW", "nothing", "qualified"])
    def test_choices(self, value: str) -> None:
        _same(_field(Kind.CHOICE), value)

    def test_every_kind_that_can_be_read_is_compared_here(self) -> None:
        elsewhere = {Kind.RELATION, Kind.PERSON, Kind.TAGS, Kind.UUID, Kind.LONG_TEXT}
        assert set(FIELDS) | elsewhere == set(READABLE)
