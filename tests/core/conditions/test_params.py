"""Filters given as query parameters."""

from datetime import UTC, datetime
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from core.conditions import parse_params
from core.conditions.schema import MAX_NODES
from core.kernel.errors import Invalid
from tests.core.conditions.conftest import NOW
from tests.core.conditions.sample import Source

ID = UUID(int=1)
RESERVED = {"page", "ordering"}


def parsed(*pairs: tuple[str, str], **options):
    return parse_params(pairs, Source(), RESERVED, **options)


def faults_of(*pairs: tuple[str, str]) -> set[tuple[str, str]]:
    with pytest.raises(Invalid) as refused:
        parsed(*pairs)
    return {(fault.path, fault.code) for fault in refused.value.faults}


class TestFilters:
    @pytest.mark.parametrize(
        ("name", "text", "held", "other"),
        [
            ("name", "Ada", "Ada", "ada"),
            ("name__ne", "Ada", "Bob", "Ada"),
            ("name__contains", "da", "ADA", "Bob"),
            ("name__not_contains", "da", "Bob", "ADA"),
            ("name__startswith", "ad", "Ada", "Bad"),
            ("name__endswith", "da", "Ada", "Dab"),
            ("name__in", "Ada, Bob", "Bob", "Cid"),
            ("name__not_in", "Ada,Bob", "Cid", "Bob"),
            ("name__isnull", "true", "", "x"),
            ("name__isnull", "false", "x", ""),
            ("score", "5", 5, 6),
            ("score__gte", "5", 5, 4),
            ("score__gt", "5", 6, 5),
            ("score__lte", "5", 5, 6),
            ("score__lt", "5", 4, 5),
            ("score__between", "1,5", 5, 6),
            ("is_open", "true", True, False),
            ("id__in", str(ID), ID, UUID(int=2)),
            ("tags", "vip", ["eu", "vip"], ["eu"]),
            ("tags__in", "vip,eu", ["eu"], ["x"]),
            ("tags__contains", "vip", ["vip"], []),
            (
                "met_at__gte",
                "2026-05-20 10:00:00 02:00",
                datetime(2026, 5, 20, 8, tzinfo=UTC),
                NOW.replace(hour=7),
            ),
            ("met_at__date", "2026-05-20", NOW, NOW.replace(day=21)),
            ("met_at", "today", NOW, NOW.replace(day=19)),
            ("met_at__lte", "2026-05-20", NOW.replace(hour=23), NOW.replace(day=21, hour=0)),
        ],
    )
    def test_hold_for_the_records_they_name(self, ask, name, text, held, other):
        condition = parsed((name, text))
        field = name.partition("__")[0]
        assert ask(condition, **{field: held})
        assert not ask(condition, **{field: other})

    def test_reach_over_relations_and_into_custom_fields(self, ask):
        assert ask(
            parsed(("parent.name__isnull", "true"), ("custom_fields.size__gt", "1")),
            custom_fields={"size": 2},
        )

    def test_hold_all_together(self, ask):
        condition = parsed(("name", "Ada"), ("score__gt", "1"))
        assert ask(condition, name="Ada", score=2)
        assert not ask(condition, name="Ada", score=1)

    def test_may_repeat_in(self, ask):
        condition = parsed(("name__in", "Ada"), ("name__in", "Bob"))
        assert ask(condition, name="Ada")
        assert ask(condition, name="Bob")

    def test_take_days_of_the_zone(self, ask):
        late = datetime(2026, 5, 20, 23, tzinfo=UTC)
        assert ask(parsed(("met_at__date", "2026-05-21"), zone=ZoneInfo("Europe/Berlin")), met_at=late)

    @pytest.mark.parametrize("day", ["0001-01-03", "9999-12-29"])
    @pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "Pacific/Pago_Pago"])
    def test_take_the_calendar_to_its_ends(self, ask, day, zone):
        assert not ask(parsed(("met_at", day), zone=ZoneInfo(zone)), met_at=NOW)

    def test_leave_reserved_names_alone(self):
        assert parsed(("page", "2"), ("ordering", "name")) is None
        assert parsed() is None


class TestRefusals:
    @pytest.mark.parametrize(
        ("name", "text", "code"),
        [
            ("nope", "x", "unknown_filter"),
            ("secret", "x", "unknown_filter"),
            ("secret__like", "x", "unknown_filter"),
            ("parent.secret", "x", "unknown_filter"),
            ("name.x", "x", "unknown_filter"),
            ("", "x", "unknown_filter"),
            ("__in", "x", "unknown_filter"),
            ("name__like", "x", "unknown_operator"),
            ("name__", "x", "unknown_operator"),
            ("name__date", "2026-01-01", "unknown_operator"),
            ("name__changed", "x", "unknown_operator"),
            ("name__matches", "x", "unknown_operator"),
            ("story", "x", "operator_not_allowed"),
            ("score__contains", "1", "operator_not_allowed"),
            ("name", "", "empty_value"),
            ("score__in", "1,", "empty_value"),
            ("score", "many", "not_an_integer"),
            ("score", "1.5", "not_an_integer"),
            ("name", "a\x00", "invalid_characters"),
            ("name__isnull", "maybe", "not_a_boolean"),
            ("met_at__date", "today", "not_a_date"),
            ("met_at__date", "2026-02-30", "not_a_date"),
            ("met_at__date", "0001-01-01", "not_a_date"),
            ("met_at__lte", "9999-12-31", "not_a_date"),
            ("met_at__lte", "0001-01-01T00:00:00+14:00", "not_a_datetime"),
            ("score__between", "1", "wrong_number"),
            ("id", "7", "not_an_id"),
            ("unasked", "x", "not_filterable"),
        ],
    )
    def test_name_the_parameter_as_it_was_sent(self, name, text, code):
        assert faults_of((name, text)) == {(name, code)}

    def test_hidden_and_unknown_read_alike(self):
        def told(name):
            with pytest.raises(Invalid) as refused:
                parsed((name, "5"))
            return refused.value.faults[0].detail.replace(name, "?").partition(" Did you mean")[0]

        assert told("secret__gt") == told("nope__gt")

    def test_a_filter_given_twice(self):
        assert faults_of(("score", "1"), ("score", "2")) == {("score", "repeated")}

    def test_are_told_together(self):
        assert faults_of(("nope", "1"), ("score", "x"), ("name", "Ada")) == {
            ("nope", "unknown_filter"),
            ("score", "not_an_integer"),
        }

    def test_have_a_limit(self):
        assert faults_of(*((f"f{number}", "1") for number in range(MAX_NODES))) == {("", "too_many_filters")}
