"""Would the comparison of the two back ends notice? Each fault is put into one of them for a moment."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC
from typing import Any

import pytest
from django.db.models import QuerySet
from hypothesis import Phase, given, settings

from core.conditions import memory, operators, queryset
from core.conditions.operators import BELOW, PRESENT, UP_TO, Family, Test
from core.conditions.queryset import Predicate
from core.conditions.schema import Not
from tests.core.conditions.sample import Sample, Source
from tests.core.conditions.test_back_ends import (
    EXAMPLES,
    SAMPLES,
    assert_same_letters,
    assert_same_quarters_of_hours,
    assert_same_records,
)

Patch = pytest.MonkeyPatch


def _instead(patch: Patch, module: Any, *, of: Test, by: Test) -> None:
    plain = module.tests_of
    patch.setattr(
        module,
        "tests_of",
        lambda check, now, zone: tuple(
            (by if test is of else test, operand) for test, operand in plain(check, now, zone)
        ),
    )


def _rewritten(patch: Patch, change: Callable[[str], str]) -> None:
    def as_sql(self: Predicate, compiler: Any, connection: Any) -> tuple[str, Any]:
        sql, params = plain(self, compiler, connection)
        return change(sql), params

    plain = Predicate.as_sql
    patch.setattr(Predicate, "as_sql", as_sql)


def null_never_answers_in_memory(patch: Patch) -> None:
    plain = memory._check
    patch.setattr(
        memory,
        "_check",
        lambda check, record, old, now, zone: (
            memory._asked_value(check, record, old) is not None and plain(check, record, old, now, zone)
        ),
    )


def null_forgotten_in_sql(patch: Patch) -> None:
    _rewritten(patch, lambda sql: re.sub(r"^\(.+? IS NULL OR (NOT .+)\)$", r"\1", sql, flags=re.DOTALL))


def negation_left_to_sql(patch: Patch) -> None:
    def to_q(tree: Any, now: Any, zone: Any, *, positive: bool = True) -> Any:
        if isinstance(tree, Not):
            return ~to_q(tree.part, now, zone, positive=positive)
        return plain(tree, now, zone, positive=positive)

    plain = queryset.to_q
    patch.setattr(queryset, "to_q", to_q)


def case_folded_in_memory(patch: Patch) -> None:
    patch.setattr(operators, "fold", str.casefold)


def case_kept_in_sql(patch: Patch) -> None:
    _rewritten(patch, lambda sql: sql.replace("ILIKE", "LIKE"))


def wildcards_live_in_sql(patch: Patch) -> None:
    patch.setattr(operators, "_escaped", lambda text: text)


def upper_end_left_out_in_memory(patch: Patch) -> None:
    _instead(patch, memory, of=UP_TO, by=BELOW)


def upper_end_left_out_in_sql(patch: Patch) -> None:
    _instead(patch, queryset, of=UP_TO, by=BELOW)


def blank_is_a_value_in_memory(patch: Patch) -> None:
    _instead(patch, memory, of=PRESENT[Family.TEXT], by=PRESENT[Family.PLAIN])


def days_begin_in_utc_in_sql(patch: Patch) -> None:
    plain = queryset.tests_of
    patch.setattr(queryset, "tests_of", lambda check, now, zone: plain(check, now, UTC))


def invisible_records_asked_in_sql(patch: Patch) -> None:
    def records(self: Source) -> QuerySet[Sample]:
        return Sample.objects.all()

    patch.setattr(Source, "records", records)


def by_chance() -> None:
    # Enough examples for what few of them show; always the same ones, and none is made smaller.
    fixed = settings(
        EXAMPLES,
        max_examples=1_000,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        report_multiple_bugs=False,
    )
    fixed(given(**SAMPLES)(assert_same_records))()


Comparison = Callable[[], None]
# The fault, and the comparison that must tell of it.
SEEDS: list[tuple[Callable[[Patch], None], Comparison]] = [
    (null_never_answers_in_memory, by_chance),
    (null_forgotten_in_sql, by_chance),
    (negation_left_to_sql, by_chance),
    (case_folded_in_memory, assert_same_letters),
    (case_kept_in_sql, assert_same_letters),
    (wildcards_live_in_sql, assert_same_letters),
    (upper_end_left_out_in_memory, by_chance),
    (upper_end_left_out_in_sql, by_chance),
    (blank_is_a_value_in_memory, by_chance),
    (days_begin_in_utc_in_sql, assert_same_quarters_of_hours),
    (invisible_records_asked_in_sql, by_chance),
]


@pytest.mark.usefixtures("table")
class TestComparison:
    @pytest.mark.parametrize(
        ("seed", "comparison"), SEEDS, ids=lambda part: part.__name__ if part in dict(SEEDS) else ""
    )
    def test_notices(self, seed: Callable[[Patch], None], comparison: Comparison, monkeypatch: Patch) -> None:
        seed(monkeypatch)
        with pytest.raises(AssertionError):
            comparison()
