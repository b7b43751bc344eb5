"""Relative dates."""

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest

from core.conditions.periods import MAX_DAYS, WORDS, Moment, Relative, TooFar
from tests.core.conditions.conftest import leaf

# A Wednesday.
TODAY = date(2026, 5, 20)


@pytest.mark.parametrize(
    ("word", "first", "after"),
    [
        ("yesterday", date(2026, 5, 19), date(2026, 5, 20)),
        ("today", date(2026, 5, 20), date(2026, 5, 21)),
        ("tomorrow", date(2026, 5, 21), date(2026, 5, 22)),
        ("last_week", date(2026, 5, 11), date(2026, 5, 18)),
        ("this_week", date(2026, 5, 18), date(2026, 5, 25)),
        ("next_week", date(2026, 5, 25), date(2026, 6, 1)),
        ("last_month", date(2026, 4, 1), date(2026, 5, 1)),
        ("this_month", date(2026, 5, 1), date(2026, 6, 1)),
        ("next_month", date(2026, 6, 1), date(2026, 7, 1)),
        ("last_quarter", date(2026, 1, 1), date(2026, 4, 1)),
        ("this_quarter", date(2026, 4, 1), date(2026, 7, 1)),
        ("next_quarter", date(2026, 7, 1), date(2026, 10, 1)),
        ("last_year", date(2025, 1, 1), date(2026, 1, 1)),
        ("this_year", date(2026, 1, 1), date(2027, 1, 1)),
        ("next_year", date(2027, 1, 1), date(2028, 1, 1)),
        ("last_n_days:30", date(2026, 4, 20), date(2026, 5, 21)),
        ("next_n_days:2", date(2026, 5, 21), date(2026, 5, 23)),
        ("n_days_ago:20", date(2026, 4, 30), date(2026, 5, 1)),
        ("n_days_from_now:12", date(2026, 6, 1), date(2026, 6, 2)),
    ],
)
def test_a_word_stands_for_whole_days(word, first, after):
    assert Relative.read(word).days(TODAY) == (first, after)


def test_every_word_of_the_reference_can_be_read():
    for word in WORDS:
        read = Relative.read(word.replace(":N", ":5"))
        assert isinstance(read, Moment) if word == "now" else read.days(TODAY)[0] < read.days(TODAY)[1]


@pytest.mark.parametrize(
    "text", ["", "Today", "last_n_days", "last_n_days:N", "last_n_days:-1", "2026-05-20"]
)
def test_other_texts_are_no_words(text):
    assert Relative.read(text) is None


def test_a_count_has_a_limit():
    with pytest.raises(TooFar):
        Relative.read(f"last_n_days:{MAX_DAYS + 1}")


def test_years_end_and_begin():
    assert Relative.read("last_month").days(date(2026, 1, 31)) == (date(2025, 12, 1), date(2026, 1, 1))
    assert Relative.read("next_quarter").days(date(2026, 12, 31)) == (date(2027, 1, 1), date(2027, 4, 1))


def test_days_begin_at_midnight_of_the_zone():
    sydney = ZoneInfo("Australia/Sydney")
    # In Sydney it is already the 21st.
    now = datetime(2026, 5, 20, 15, tzinfo=UTC)
    start, after = Relative.read("today").moments(now, sydney)
    assert (start, after) == (datetime(2026, 5, 20, 14, tzinfo=UTC), datetime(2026, 5, 21, 14, tzinfo=UTC))


def test_a_day_of_changing_clocks_is_shorter():
    start, after = Relative.read("today").moments(
        datetime(2026, 3, 29, 12, tzinfo=UTC), ZoneInfo("Europe/Berlin")
    )
    assert (after - start).total_seconds() == 23 * 3600


class TestComparisonsWithAPeriod:
    """`now` is Wednesday, 20 May 2026."""

    @pytest.mark.parametrize(
        ("operator", "value", "holding", "failing"),
        [
            (
                "eq",
                "this_month",
                [date(2026, 5, 1), date(2026, 5, 31)],
                [date(2026, 4, 30), date(2026, 6, 1)],
            ),
            ("ne", "this_month", [date(2026, 4, 30), None], [date(2026, 5, 31)]),
            ("lt", "this_month", [date(2026, 4, 30)], [date(2026, 5, 1), None]),
            ("lte", "this_month", [date(2026, 5, 31)], [date(2026, 6, 1)]),
            ("gt", "this_month", [date(2026, 6, 1)], [date(2026, 5, 31)]),
            ("gte", "this_month", [date(2026, 5, 1)], [date(2026, 4, 30)]),
            (
                "between",
                ["last_month", "2026-05-02"],
                [date(2026, 4, 1), date(2026, 5, 2)],
                [date(2026, 5, 3)],
            ),
            ("between", ["last_month", "this_week"], [date(2026, 5, 24)], [date(2026, 5, 25)]),
        ],
    )
    def test_hold_by_its_first_and_last_day(self, ask, operator, value, holding, failing):
        for day in holding:
            assert ask(leaf("close_date", operator, value), close_date=day), day
        for day in failing:
            assert not ask(leaf("close_date", operator, value), close_date=day), day

    def test_heed_the_zone_of_whoever_asks(self, ask):
        late = datetime(2026, 5, 20, 23, tzinfo=UTC)
        assert ask(leaf("met_at", "eq", "today"), met_at=late)
        assert not ask(leaf("met_at", "eq", "today"), zone=ZoneInfo("Europe/Berlin"), met_at=late)

    def test_know_the_moment(self, ask):
        assert ask(leaf("met_at", "lt", "now"), met_at=datetime(2026, 5, 20, 10, tzinfo=UTC))
        assert not ask(leaf("met_at", "lt", "now"), met_at=datetime(2026, 5, 20, 11, tzinfo=UTC))
