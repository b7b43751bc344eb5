"""The back ends are one: random conditions over random records, nulls, odd letters and time zones included."""

import sys
import unicodedata
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from django.db import connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.conditions import Condition, compile_condition, row_condition
from core.conditions.operators import OPERATORS, fold
from core.conditions.periods import WORDS
from core.entities import Field
from core.entities.kinds import Kind
from tests.core.conditions.conftest import NOW, leaf
from tests.core.conditions.sample import ENTITY, Sample, Source, record_of

# Letters whose case, order or meaning for LIKE is a trap; few, so that values and operands meet.
LETTERS = "aAbiIİıßẞſsSσςΣkK\u212aéÉÅǅǆ%_\\ 1\n𐐀𐐨"
TAGS = ("vip", "VIP", "eu", "ß")
ZONES = ("UTC", "Europe/Berlin", "America/St_Johns", "Pacific/Apia", "Asia/Kathmandu", "America/Sao_Paulo")
IDS = tuple(UUID(int=number) for number in range(1, 7))

texts = st.text(LETTERS, max_size=4)
days = st.dates(date(2026, 3, 20), date(2026, 4, 10)) | st.dates(date(2024, 1, 1), date(2028, 12, 31))
moments = st.datetimes(datetime(2026, 3, 27), datetime(2026, 3, 31), timezones=st.just(UTC)) | st.datetimes(
    datetime(2024, 1, 1), datetime(2028, 12, 31), timezones=st.just(UTC)
)
cents = st.integers(-300, 300).map(lambda number: Decimal(number) / 100)
small = st.integers(-3, 3)

VALUES: dict[str, st.SearchStrategy[Any]] = {
    "name": texts,
    "nickname": st.none() | texts,
    "story": texts,
    "email": st.sampled_from(["", "a@b.co", "A@b.co", "i@x.org"]),
    "status": st.sampled_from(["new", "won", "lost"]),
    "score": st.none() | small,
    "amount": st.none() | cents,
    "is_open": st.none() | st.booleans(),
    "close_date": st.none() | days,
    "met_at": st.none() | moments,
    "tags": st.lists(st.sampled_from(TAGS), max_size=2, unique=True),
    "extra": st.none() | st.just({}) | st.just({"a": 1}),
    "custom_fields": st.fixed_dictionaries({}, optional={"color": texts, "size": small}),
    "is_visible": st.booleans(),
}

words = st.sampled_from([word for word in WORDS if word != "now"]).map(lambda word: word.replace(":N", ":3"))


def operands(field: Field) -> st.SearchStrategy[Any]:
    match field.kind:
        case Kind.EMAIL:
            return st.sampled_from(["a@b.co", "A@b.co", "i@x.org"])
        case Kind.CHOICE:
            return st.sampled_from(["new", "won", "lost"])
        case Kind.TAGS:
            return st.sampled_from(TAGS)
        case Kind.INTEGER:
            return small
        case Kind.MONEY:
            return cents.map(str)
        case Kind.BOOLEAN:
            return st.booleans()
        case Kind.DATE:
            return days.map(date.isoformat)
        case Kind.DATETIME:
            return moments.map(datetime.isoformat)
        case Kind.UUID | Kind.PERSON:
            return st.sampled_from(IDS).map(str)
        case _:
            return texts


@st.composite
def leaves(draw: st.DrawFn) -> dict[str, Any]:
    name = draw(st.sampled_from([name for name in ENTITY.fields if name not in ("secret", "unasked")]))
    field = ENTITY.fields[name]
    path = "parent." * draw(st.sampled_from([0, 0, 0, 1, 2, 3])) + name
    operator = OPERATORS[draw(st.sampled_from(sorted(field.type.operators)))]
    one = operands(field)
    if field.kind in (Kind.DATE, Kind.DATETIME) and operator.name not in ("in", "not_in"):
        one = one | words
        if field.kind is Kind.DATETIME:
            one = one | days.map(date.isoformat) | st.just("now")
    if operator.operand == "none":
        return leaf(path, operator.name)
    if operator.operand == "many":
        return leaf(path, operator.name, draw(st.lists(one, min_size=1, max_size=3)))
    if operator.operand == "two":
        low, high = draw(one), draw(one)
        if field.kind is Kind.MONEY:
            low, high = sorted((low, high), key=Decimal)
        elif not (isinstance(low, str) and field.kind in (Kind.DATE, Kind.DATETIME)) or (
            low[0].isdigit() and high[0].isdigit()
        ):
            low, high = sorted((low, high))
        return leaf(path, operator.name, [low, high])
    if operator.operand == "text" and field.kind is not Kind.TAGS:
        return leaf(path, operator.name, draw(st.text(LETTERS, min_size=1, max_size=2)))
    return leaf(path, operator.name, draw(one))


def grouped(inner: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    several = st.lists(inner, min_size=1, max_size=3)
    return st.one_of(
        several.map(lambda parts: {"and": parts}),
        several.map(lambda parts: {"or": parts}),
        inner.map(lambda part: {"not": part}),
    )


conditions = leaves() | grouped(leaves()) | grouped(grouped(leaves()))


@st.composite
def changes(draw: st.DrawFn) -> dict[str, Any]:
    """A comparison of a record with what it was before."""
    if draw(st.booleans()):
        asked = draw(leaves())
        return {**asked, "field": f"old.{asked['field']}"}
    name = draw(
        st.sampled_from([name for name in VALUES if name not in ("custom_fields", "is_visible", "extra")])
    )
    field = ENTITY.fields[name]
    operator = draw(st.sampled_from(["changed", "changed_from", "changed_to"]))
    if operator == "changed":
        return leaf(name, operator)
    if field.kind is Kind.TAGS:
        return {**leaf(name, operator), "value": draw(st.none() | VALUES[name])}
    return {**leaf(name, operator), "value": draw(st.none() | operands(field))}


conditions_of_changes = changes() | grouped(changes() | leaves())


@st.composite
def families(draw: st.DrawFn) -> list[Sample]:
    """Some records, each maybe the child of one before it."""
    rows: list[Sample] = []
    for place in range(draw(st.integers(1, len(IDS)))):
        parent = draw(st.none() | st.sampled_from(rows)) if rows else None
        values = {name: draw(strategy) for name, strategy in VALUES.items()}
        rows.append(Sample(id=IDS[place], parent=parent, **values))
    return rows


SAMPLES: dict[str, st.SearchStrategy[Any]] = {
    "documents": st.lists(conditions, min_size=1, max_size=4),
    "rows": families(),
    "now": moments,
    "zone": st.sampled_from(ZONES).map(ZoneInfo),
}
EXAMPLES = settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))


def assert_same_records(
    documents: Iterable[dict[str, Any]], rows: list[Sample], now: datetime, zone: ZoneInfo
) -> None:
    """All back ends choose the same records by each condition, and by its negation all others."""
    Sample.objects.all().delete()
    Sample.objects.bulk_create(rows)
    records = {row.pk: record_of(row) for row in rows}
    for document in documents:
        condition = compile_condition(document, Source(), zone=zone)
        selected = set(Sample.objects.filter(condition.to_q(now=now)).values_list("pk", flat=True))
        accepted = {pk for pk, record in records.items() if condition.matches(record or {}, now=now)}
        assert selected == accepted, document
        assert _written(condition, now) == accepted, document
        refused = compile_condition({"not": document}, Source(), zone=zone)
        others = set(Sample.objects.filter(refused.to_q(now=now)).values_list("pk", flat=True))
        assert others == set(records) - selected, document
        assert _written(refused, now) == others, document


def _written(condition: Condition, now: datetime, olds: dict[UUID, UUID] | None = None) -> set[UUID]:
    """The records that meet the condition as rows of a write; `olds` names the record that each one was before."""
    row = row_condition(condition, ENTITY)
    table = Sample._meta.db_table
    pairs = [(new, old) for new, old in (olds or {}).items()]
    sql = (
        f'SELECT n.id FROM "{table}" n LEFT JOIN unnest(%s::uuid[], %s::uuid[]) AS p(new_id, old_id) ON p.new_id = n.id '
        f'LEFT JOIN "{table}" o ON o.id = p.old_id WHERE {row.sql}'
    )
    params = ([new for new, _ in pairs], [old for _, old in pairs], *(value(now) for value in row.values))
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        return {pk for (pk,) in cursor.fetchall()}


def assert_same_changes(
    documents: Iterable[dict[str, Any]], rows: list[Sample], now: datetime, zone: ZoneInfo
) -> None:
    """Memory and writes agree on changes: each record is taken for a later state of its neighbor, the first for new."""
    Sample.objects.all().delete()
    Sample.objects.bulk_create(rows)
    records = {row.pk: record_of(row) or {} for row in rows}
    olds = {rows[place].pk: rows[place - 1].pk for place in range(1, len(rows))}
    for document in documents:
        condition = compile_condition(document, Source(), zone=zone, old_values=True)
        accepted = {
            pk
            for pk, record in records.items()
            if condition.matches(record, records.get(olds.get(pk)), now=now)
        }
        assert _written(condition, now, olds) == accepted, document


def assert_same_letters() -> None:
    """Every operator of texts over each pair of letters: chance seldom lets two related ones meet."""
    names = [*LETTERS, *(f"x{letter}" for letter in LETTERS)]
    rows = [Sample(id=UUID(int=number), name=name) for number, name in enumerate(names, 1)]
    documents = [
        leaf("name", name, [letter] if OPERATORS[name].operand == "many" else letter)
        for name in sorted(ENTITY.fields["name"].type.operators)
        if OPERATORS[name].operand in ("one", "many", "text")
        for letter in LETTERS
    ]
    assert_same_records(documents, rows, NOW, ZoneInfo("UTC"))


def assert_same_quarters_of_hours() -> None:
    """Every operator of dates over each quarter of an hour around a change of clocks, in every zone."""
    start = datetime(2026, 3, 28, tzinfo=UTC)
    times = [start + timedelta(minutes=15) * step for step in range(200)]
    rows = [
        Sample(id=UUID(int=number), met_at=time, close_date=time.date())
        for number, time in enumerate(times, 1)
    ]
    ones = ["2026-03-29", "yesterday", "today", "this_month", "last_n_days:1", "next_n_days:1"]
    documents = [
        *(
            leaf(field, name, one)
            for field in ("met_at", "close_date")
            for name in ("eq", "ne", "gt", "gte", "lt", "lte")
            for one in ones
        ),
        *(leaf(field, "between", ["2026-03-28", "today"]) for field in ("met_at", "close_date")),
    ]
    for zone in ZONES:
        assert_same_records(documents, rows, start + timedelta(hours=30), ZoneInfo(zone))


@pytest.mark.usefixtures("table")
class TestBackEnds:
    @EXAMPLES
    @given(**SAMPLES)
    def test_accept_the_same_records(self, documents, rows, now, zone):
        assert_same_records(documents, rows, now, zone)

    @EXAMPLES
    @given(**{**SAMPLES, "documents": st.lists(conditions_of_changes, min_size=1, max_size=4)})
    def test_accept_the_same_changes(self, documents, rows, now, zone):
        assert_same_changes(documents, rows, now, zone)

    def test_accept_the_same_letters(self):
        assert_same_letters()

    def test_accept_the_same_quarters_of_hours(self):
        assert_same_quarters_of_hours()

    def test_agree_on_the_case_of_every_letter_that_python_knows(self):
        letters = [
            chr(code)
            for code in range(1, sys.maxunicode + 1)
            if unicodedata.category(chr(code)) not in ("Cs", "Cn", "Co")
        ]
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT c, lower(c), c ILIKE chr(92) || lower(c) FROM unnest(%s::text[]) c", [letters]
            )
            differing = [
                (f"U+{ord(letter):04X}", lower, alike)
                for letter, lower, alike in cursor.fetchall()
                if fold(letter) != lower or not alike
            ]
        assert differing == []


@pytest.mark.usefixtures("table")
class TestIndexes:
    """A plain comparison is a plain predicate: an index on the column serves it."""

    @pytest.mark.parametrize(
        ("field", "operator", "value", "index"),
        [
            ("name", "eq", "x", "(name)"),
            ("status", "in", ["new", "won"], "(status)"),
            ("name", "startswith", "x", None),
            ("score", "gte", 3, "(score)"),
            ("score", "between", [3, 4], "(score)"),
            ("amount", "lt", "3", "(amount)"),
            ("met_at", "eq", "this_month", "(met_at)"),
            ("close_date", "gt", "2026-01-01", "(close_date)"),
            ("parent", "eq", str(UUID(int=1)), "(parent_id)"),
            ("score", "is_null", None, "(score)"),
            ("tags", "contains", "vip", "USING gin (tags)"),
            ("tags", "in", ["vip", "eu"], "USING gin (tags)"),
        ],
    )
    def test_serve(self, field, operator, value, index):
        queryset = Sample.objects.filter(
            compile_condition(leaf(field, operator, value), Source()).to_q(
                now=datetime(2026, 1, 1, tzinfo=UTC)
            )
        )
        with connection.cursor() as cursor:
            if index:
                cursor.execute(f"CREATE INDEX wanted ON {Sample._meta.db_table} {index}")
            cursor.execute("SET LOCAL enable_seqscan = off")
            sql, params = queryset.query.sql_with_params()
            cursor.execute(f"EXPLAIN {sql}", params)
            plan = "\n".join(row[0] for row in cursor.fetchall())
        assert ("Index Cond" in plan) is (index is not None), plan


def test_random_moments_include_a_change_of_clocks():
    """Else the zones above prove little."""
    berlin = ZoneInfo("Europe/Berlin")
    before, after = datetime(2026, 3, 29, tzinfo=berlin), datetime(2026, 3, 30, tzinfo=berlin)
    assert after.astimezone(UTC) - before.astimezone(UTC) == timedelta(hours=23)
