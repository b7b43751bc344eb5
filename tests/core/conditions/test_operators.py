"""What each operator means, for each family of kinds, asked of PostgreSQL and of memory at once."""

from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from core.conditions import InMemoryOnly, compile_condition
from core.conditions.memory import NotLoaded
from core.conditions.operators import OPERATORS
from core.entities.kinds import KINDS
from tests.core.conditions.conftest import NOW, leaf
from tests.core.conditions.sample import ENTITY, Source

ONE, TWO = UUID(int=1), UUID(int=2)
NOON = datetime(2026, 5, 20, 12, tzinfo=UTC)

# field, operator, value, the record's value, does it hold
MEANINGS = [
    ("name", "eq", "Ada", "Ada", True),
    ("name", "eq", "Ada", "ada", False),
    ("name", "eq", "", "", True),
    ("nickname", "eq", "", None, False),
    ("name", "ne", "Ada", "ada", True),
    ("nickname", "ne", "Ada", None, True),
    ("name", "gt", "a", "b", True),
    ("name", "gt", "a", "Z", False),  # by code point
    ("name", "lt", "é", "z", True),
    ("name", "gte", "b", "b", True),
    ("name", "lte", "b", "b", True),
    ("nickname", "lte", "b", None, False),
    ("name", "between", ["a", "c"], "b", True),
    ("name", "between", ["a", "c"], "d", False),
    ("name", "in", ["x", "y"], "y", True),
    ("name", "in", ["x", "y"], "z", False),
    ("name", "not_in", ["x", "y"], "z", True),
    ("nickname", "not_in", ["x", "y"], None, True),
    ("name", "contains", "DA", "Ada", True),
    ("name", "contains", "%", "Ada", False),
    ("name", "contains", "_", "Ada", False),
    ("name", "contains", "\\", "a\\b", True),
    ("name", "contains", "100%", "is 100% sure", True),
    ("name", "contains", "STRASSE", "Straße", False),
    ("name", "contains", "STRAßE", "Straße", True),
    ("name", "contains", "istanbul", "İstanbul", True),
    ("name", "contains", "istanbul", "ıstanbul", False),
    ("name", "contains", "ΟΔΟΣ", "οδοσ", True),
    ("name", "contains", "ΟΔΟΣ", "οδος", False),
    ("name", "contains", "k", "\u212a", True),  # the Kelvin sign
    ("nickname", "contains", "a", None, False),
    ("name", "not_contains", "x", "Ada", True),
    ("nickname", "not_contains", "x", None, True),
    ("name", "startswith", "ad", "Ada", True),
    ("name", "startswith", "da", "Ada", False),
    ("name", "endswith", "DA", "Ada", True),
    ("name", "endswith", "Ad", "Ada", False),
    ("name", "contains", "b", "a\nb", True),
    ("story", "contains", "once", "Once upon a time", True),
    ("email", "eq", "a@b.co", "a@b.co", True),
    ("email", "endswith", "@B.co", "a@b.co", True),
    ("status", "eq", "won", "won", True),
    ("status", "in", ["won", "lost"], "new", False),
    ("name", "is_null", None, "", True),
    ("name", "is_null", None, " ", False),
    ("nickname", "is_null", None, None, True),
    ("nickname", "is_null", None, "", True),
    ("nickname", "is_not_null", None, "", False),
    ("nickname", "is_not_null", None, "x", True),
    ("score", "eq", 0, 0, True),
    ("score", "eq", 0, None, False),
    ("score", "ne", 0, None, True),
    ("score", "gt", -5, 0, True),
    ("score", "lt", 5, None, False),
    ("score", "between", [1, 3], 3, True),
    ("score", "between", [1, 3], 4, False),
    ("score", "between", [1, 3], None, False),
    ("score", "in", [1, 2], 2, True),
    ("score", "not_in", [1, 2], None, True),
    ("score", "is_null", None, 0, False),
    ("score", "is_null", None, None, True),
    ("amount", "eq", "10.5", Decimal("10.50"), True),
    ("amount", "gte", "0.30", Decimal("0.3"), True),
    ("amount", "gt", "0.30", Decimal("0.3"), False),
    ("amount", "in", ["1.00", "2"], Decimal("2.00"), True),
    ("is_open", "eq", False, False, True),
    ("is_open", "eq", False, None, False),
    ("is_open", "ne", True, None, True),
    ("close_date", "eq", "2026-05-20", date(2026, 5, 20), True),
    ("close_date", "lt", "2026-05-20", date(2026, 5, 19), True),
    ("close_date", "between", ["2026-01-01", "2026-12-31"], date(2026, 12, 31), True),
    ("met_at", "eq", "2026-05-20T14:00:00+02:00", NOON, True),
    ("met_at", "gt", "2026-05-20T11:59:59Z", NOON, True),
    ("met_at", "eq", "2026-05-20", NOON, True),
    ("met_at", "gt", "2026-05-20", NOON, False),
    ("met_at", "lte", "2026-05-20", NOON, True),
    ("met_at", "is_null", None, None, True),
    ("id", "eq", str(ONE), ONE, True),
    ("id", "in", [str(TWO)], ONE, False),
    ("tags", "contains", "vip", ["vip", "eu"], True),
    ("tags", "contains", "VIP", ["vip"], False),
    ("tags", "not_contains", "vip", [], True),
    ("tags", "eq", "vip", ["eu", "vip"], True),
    ("tags", "in", ["a", "vip"], ["vip"], True),
    ("tags", "in", ["a", "b"], ["vip"], False),
    ("tags", "is_null", None, [], True),
    ("tags", "is_not_null", None, ["x"], True),
    ("extra", "is_null", None, None, True),
    ("extra", "is_null", None, {}, False),
    ("extra", "is_not_null", None, {"a": None}, True),
]


@pytest.mark.parametrize(("field", "operator", "value", "held", "holds"), MEANINGS)
def test_an_operator_means_what_the_table_says(
    ask: Callable[..., bool], field: str, operator: str, value: Any, held: Any, holds: bool
):
    assert ask(leaf(field, operator, value), **{field: held}) is holds
    assert ask({"not": leaf(field, operator, value)}, **{field: held}) is not holds


def test_the_table_covers_every_operator_that_a_queryset_knows():
    assert {row[1] for row in MEANINGS} == {name for name, row in OPERATORS.items() if not row.in_memory_only}


def test_every_operator_that_a_kind_names_exists_and_knows_its_family():
    for field in ENTITY.fields.values():
        for name in field.type.operators:
            assert name in OPERATORS, f"{field.kind} names {name}"
    assert {name for kind in KINDS.values() for name in kind.operators} <= set(OPERATORS)


class TestCustomField:
    def test_is_null_where_the_record_never_had_it(self, ask):
        assert ask(leaf("custom_fields.color", "is_null"), custom_fields={})
        assert ask(leaf("custom_fields.color", "ne", "red"), custom_fields={})
        assert not ask(leaf("custom_fields.size", "gt", 1), custom_fields={})

    def test_is_typed(self, ask):
        assert ask(leaf("custom_fields.size", "gt", 9), custom_fields={"size": 10})
        assert ask(leaf("custom_fields.color", "contains", "RE"), custom_fields={"color": "red"})


class TestGroups:
    def test_nest(self, ask):
        document = {
            "or": [
                {"and": [leaf("score", "gt", 5), leaf("name", "eq", "Ada")]},
                {"not": {"or": [leaf("score", "is_not_null"), leaf("tags", "contains", "vip")]}},
            ]
        }
        assert ask(document, score=6, name="Ada")
        assert not ask(document, score=6, name="Bob")
        assert ask(document, score=None, tags=[])
        assert not ask(document, score=None, tags=["vip"])

    def test_negate_a_null_like_anything_false(self, ask):
        assert ask({"not": {"and": [leaf("score", "gt", 5), leaf("score", "lt", 9)]}}, score=None)
        assert not ask({"not": {"not": leaf("score", "gt", 5)}}, score=None)


class TestRelation:
    def test_is_followed(self, ask):
        document = leaf("parent.parent.name", "eq", "Grandma")
        grand = _saved(name="Grandma")
        assert ask(document, parent=_saved(name="Mum", parent=grand))
        assert not ask(document, parent=grand)

    def test_that_is_missing_is_null(self, ask):
        assert not ask(leaf("parent.name", "eq", "x"))
        assert ask(leaf("parent.name", "ne", "x"))
        assert ask(leaf("parent.name", "is_null"))
        assert not ask(leaf("parent.score", "lt", 5))
        assert ask({"not": leaf("parent.score", "lt", 5)})

    @pytest.mark.parametrize(
        "document",
        [
            leaf("parent.name", "eq", "Ada"),
            leaf("parent.name", "contains", "a"),
            leaf("parent.name", "is_not_null"),
            leaf("parent.score", "gte", 0),
            leaf("parent.id", "is_not_null"),
            {"not": leaf("parent.name", "ne", "Ada")},
            {"not": leaf("parent.name", "is_null")},
        ],
    )
    def test_to_a_record_that_the_source_does_not_show_tells_nothing_of_it(self, ask, document):
        assert ask(document, parent=_saved(name="Ada", score=1))
        assert not ask(document, parent=_saved(name="Ada", score=1, is_visible=False))

    def test_keeps_its_id_when_its_record_is_not_shown(self, ask):
        parent = _saved(name="x", is_visible=False)
        assert ask(leaf("parent", "eq", str(parent.pk)), parent=parent)
        assert not ask(leaf("parent.id", "eq", str(parent.pk)), parent=parent)

    def test_itself_is_compared_by_id(self, ask):
        parent = _saved(name="x")
        assert ask(leaf("parent", "eq", str(parent.pk)), parent=parent)
        assert not ask(leaf("parent", "in", [str(ONE)]), parent=parent)
        assert ask(leaf("parent", "is_null"))


def _saved(**values: Any) -> Any:
    from tests.core.conditions.sample import Sample

    (row,) = Sample.objects.bulk_create([Sample(**values)])
    return row


class TestChanged:
    """Old values exist in memory only."""

    @staticmethod
    def holds(document: Any, new: dict[str, Any], old: dict[str, Any] | None) -> bool:
        return compile_condition(document, Source(), old_values=True).matches(new, old, now=NOW)

    @pytest.mark.parametrize(
        ("document", "new", "old", "holds"),
        [
            (leaf("score", "changed"), {"score": 2}, {"score": 1}, True),
            (leaf("score", "changed"), {"score": 2}, {"score": 2}, False),
            (leaf("score", "changed"), {"score": 2}, {}, False),
            (leaf("score", "changed"), {"score": 2}, None, False),
            (leaf("score", "changed"), {"score": None}, {"score": 2}, True),
            (leaf("nickname", "changed"), {"nickname": ""}, {"nickname": None}, False),
            (leaf("amount", "changed"), {"amount": "1.50"}, {"amount": Decimal("1.5")}, False),
            (leaf("tags", "changed"), {"tags": ["a"]}, {"tags": []}, True),
            (leaf("status", "changed_from", "new"), {"status": "won"}, {"status": "new"}, True),
            (leaf("status", "changed_from", "won"), {"status": "won"}, {"status": "new"}, False),
            (leaf("status", "changed_to", "won"), {"status": "won"}, {"status": "new"}, True),
            (leaf("status", "changed_to", "won"), {"status": "won"}, {"status": "won"}, False),
            ({**leaf("score", "changed_to"), "value": None}, {"score": None}, {"score": 1}, True),
            ({**leaf("score", "changed_from"), "value": None}, {"score": 1}, {"score": None}, True),
            (leaf("old.status", "eq", "new"), {"status": "won"}, {"status": "new"}, True),
            (leaf("old.status", "eq", "won"), {"status": "won"}, {}, True),
            (leaf("old.status", "is_null"), {"status": "won"}, None, True),
            (
                leaf("custom_fields.size", "changed"),
                {"custom_fields": {"size": 1}},
                {"custom_fields": {}},
                True,
            ),
            (leaf("custom_fields.size", "changed"), {"custom_fields": {"size": 1}}, {"name": "x"}, False),
        ],
    )
    def test_compares_with_what_was_before(self, document, new, old, holds):
        assert self.holds(document, new, old) is holds

    def test_cannot_be_asked_of_a_queryset(self):
        condition = compile_condition(leaf("old.status", "eq", "new"), Source(), old_values=True)
        assert condition.in_memory_only
        with pytest.raises(InMemoryOnly):
            condition.to_q(now=NOW)


class TestMatches:
    def test_finds_the_pattern_anywhere(self):
        condition = compile_condition(leaf("name", "matches", r"^[A-Z]{2}-\d+"), Source(), in_memory=True)
        assert condition.matches({"name": "AB-17 x"}, now=NOW)
        assert not condition.matches({"name": "ab-17"}, now=NOW)

    def test_takes_linear_time_on_a_hostile_pattern(self):
        condition = compile_condition(leaf("name", "matches", r"^(a+)+$"), Source(), in_memory=True)
        assert not condition.matches({"name": "a" * 50_000 + "!"}, now=NOW)


class TestRecordFromJson:
    def test_is_typed_like_one_from_python(self):
        document = {
            "and": [
                leaf("amount", "gt", "1.10"),
                leaf("met_at", "eq", "2026-05-20T12:00:00Z"),
                leaf("close_date", "gte", "2026-01-01"),
                leaf("id", "eq", str(ONE)),
                leaf("parent", "eq", str(TWO)),
            ]
        }
        record = {
            "amount": 1.2,
            "met_at": "2026-05-20T14:00:00+02:00",
            "close_date": "2026-01-01",
            "id": str(ONE),
            "parent": str(TWO),
        }
        assert compile_condition(document, Source()).matches(record, now=NOW)

    def test_lacking_a_field_is_an_error_of_the_caller(self):
        with pytest.raises(NotLoaded):
            compile_condition(leaf("score", "gt", 1), Source()).matches({"name": "x"}, now=NOW)
        with pytest.raises(NotLoaded):
            compile_condition(leaf("parent.score", "gt", 1), Source()).matches({"parent": str(ONE)}, now=NOW)


def test_a_condition_says_what_it_needs():
    condition = compile_condition(
        {"or": [leaf("parent.parent.name", "eq", "x"), leaf("old.score", "gt", 1)]}, Source(), old_values=True
    )
    assert condition.fields == {"parent.parent.name", "old.score"}
    assert condition.relations == {"parent", "parent.parent"}


def test_an_explanation_shows_each_part_and_the_value_it_met():
    condition = compile_condition(
        {"and": [leaf("score", "gt", 5), {"not": leaf("name", "eq", "x")}]}, Source()
    )
    told = condition.explain({"score": 3, "name": "y"}, now=NOW)
    assert (told.holds, told.group) == (False, "and")
    first, second = told.parts
    assert (first.field, first.operator, first.actual, first.holds) == ("score", "gt", 3, False)
    assert (second.group, second.holds, second.parts[0].holds) == ("not", True, False)
