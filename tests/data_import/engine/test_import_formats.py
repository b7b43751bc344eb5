"""What is decided for a whole column, and never cell by cell."""

import csv
from collections.abc import Callable
from datetime import date, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_import.engine.dates import BadFormat, date_format
from data_import.engine.formats import (
    DateOrder,
    decide_boolean,
    decide_date_format,
    decide_number_locale,
    infer_kind,
)

DataDir = Callable[[str], Path]


class TestDateDecisions:
    @pytest.mark.parametrize(
        ("values", "formats"),
        [
            (["02/01/2014", "31/12/2012"], ("DD/MM/YYYY",)),
            (["10/20/2016", "3/1/2017", ""], ("MM/DD/YYYY",)),
            (["2022-05-25 10.39.15"], ("YYYY-MM-DD HH.mm.ss",)),
            (["2022-05-25", "2022-12-01"], ("YYYY-MM-DD",)),
            (["01-01-13", "31-12-13"], ("DD-MM-YY",)),
            (["3.4.2024", "25.12.2024"], ("DD.MM.YYYY",)),
            (["3 Mar 2024", "12 Dezember 2023"], ("DD MMM YYYY",)),
            (["Jan 5, 2024", "March 12, 2024"], ("MMM DD, YYYY",)),
            (["20240102", "20231231"], ("YYYYMMDD",)),
            (["2024-01-02T03:04:05Z", "2024-01-02T03:04:05+02:00"], ("YYYY-MM-DDTHH:mm:ssZ",)),
            (["3/15/2024 2:30 PM", "1/2/2024 9:00 AM"], ("MM/DD/YYYY hh:mm A",)),
            (["2024-01-02", "2024-01-02", "2024-03-04 10:00"], ("YYYY-MM-DD", "YYYY-MM-DD HH:mm")),
        ],
    )
    def test_follow_the_evidence_of_the_column(self, values: list[str], formats: tuple[str, ...]) -> None:
        decision = decide_date_format(values)
        assert (decision.formats, decision.ambiguous, decision.share) == (formats, False, 1.0)
        assert decision.evidence

    def test_leave_open_what_reads_both_ways(self) -> None:
        decision = decide_date_format(["03/04/2024", "05/06/2024", "01/01/2024"])
        assert (decision.ambiguous, decision.format) == (True, None)
        assert decision.choices == ("DD/MM/YYYY", "MM/DD/YYYY")

    @pytest.mark.parametrize(("order", "fmt"), [("dmy", "DD/MM/YYYY"), ("mdy", "MM/DD/YYYY")])
    def test_follow_the_template_where_open(self, order: DateOrder, fmt: str) -> None:
        assert decide_date_format(["03/04/2024"], order=order).formats == (fmt,)
        assert decide_date_format(["31/12/2024"], order="mdy").formats == ("DD/MM/YYYY",)

    def test_never_mix_both_orders_in_one_column(self) -> None:
        decision = decide_date_format(["13/01/2024", "01/13/2024", "02/02/2024"], order="dmy")
        assert (decision.ambiguous, decision.formats) == (True, ())

    @pytest.mark.parametrize(
        "values", [[], [""], ["hello"], ["12345678"], ["1", "2"], ["2024-01-01", "x", "y"], ["31/02/2024"]]
    )
    def test_find_no_dates_where_there_are_none(self, values: list[str]) -> None:
        decision = decide_date_format(values)
        assert (decision.formats, decision.ambiguous) == ((), False)

    def test_survive_a_few_wrong_cells(self) -> None:
        assert decide_date_format(["2024-01-02"] * 9 + ["unknown"]).formats == ("YYYY-MM-DD",)

    def test_agree_for_two_spellings_of_one_real_column(self, data_dir: DataDir) -> None:
        folder = data_dir("crm_sales")
        read: list[list[date | None]] = []
        for name in ("sales_pipeline.csv", "sales_pipeline_us_dates.csv"):
            with (folder / name).open(newline="") as file:
                values = [row["close_date"] for row in csv.DictReader(file)]
            (text,) = decide_date_format(values).formats
            moments = [date_format(text).parse(value) for value in values]
            read.append([moment.date() if moment else None for moment in moments])
        assert read[0] == read[1]

    @given(
        st.lists(st.dates(date(1970, 1, 1), date(2068, 12, 31)), min_size=1, max_size=20),
        st.sampled_from(["%d/%m/%Y", "%m/%d/%Y", "%d.%m.%y", "%Y-%m-%d"]),
    )
    def test_read_back_what_was_written_or_ask(self, days: list[date], written: str) -> None:
        decision = decide_date_format([day.strftime(written) for day in days])
        assert decision.formats or decision.ambiguous
        for text in decision.formats:
            parsed = [date_format(text).parse(day.strftime(written)) for day in days]
            assert [moment.date() for moment in parsed if moment] == days


class TestDateFormats:
    def test_tell_zones_halves_and_centuries(self) -> None:
        assert date_format("YYYY-MM-DDTHH:mm:ssZ").parse("2024-01-02T03:04:05-0330") == datetime(
            2024, 1, 2, 3, 4, 5, tzinfo=timezone(timedelta(hours=-3, minutes=-30))
        )
        assert date_format("D/M/YYYY hh:mm A").parse("1/2/2024 12:05 a.m.") == datetime(2024, 2, 1, 0, 5)
        assert [date_format("DD.MM.YY").parse(f"01.02.{year}") for year in ("68", "69")] == [
            datetime(2068, 2, 1),
            datetime(1969, 2, 1),
        ]

    @pytest.mark.parametrize(
        "value", ["2024-02-30", "2024-13-01", "0000-01-01", "2024-1-1 ", "２０２４-01-01", ""]
    )
    def test_refuse_what_is_no_date(self, value: str) -> None:
        assert date_format("YYYY-MM-DD").parse(value) is None

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "YYYY",
            "DD/MM",
            "YYYY-MM-DD HH",
            "YYYY-MM-DD mm",
            "YYYY-MM-DD hh:mm",
            "YYYY YY MM DD",
            "YYYY(.*)MM",
            "x",
            "YYYY-MM-DD" * 5,
            "YYYY-MM-DD HH:mm hh A",
            "MM MMM DD YYYY",
        ],
    )
    def test_must_make_sense(self, text: str) -> None:
        with pytest.raises(BadFormat):
            date_format(text)


class TestNumberDecisions:
    @pytest.mark.parametrize(
        ("values", "decimal", "grouping"),
        [
            (["1,7", "200.000.000"], ",", "."),
            (["1,107.50", "3"], ".", ","),
            (["0,61", "81,20"], ",", ""),
            (["1 234,5", "7"], ",", " "),
            (["1'234.50"], ".", "'"),
            (["12,34,567.5"], ".", ","),
            (["1,234", "0.5"], ".", ","),
            (["$4.00 ", "-5"], ".", ""),
            (["(1,234.50)", "€ 7"], ".", ","),
            (["1", "2"], ".", ""),
            ([f"{number:,}" for number in range(500, 60_000, 700)], ".", ","),
        ],
    )
    def test_follow_the_evidence_of_the_column(self, values: list[str], decimal: str, grouping: str) -> None:
        decision = decide_number_locale(values)
        assert (decision.decimal, decision.grouping, decision.ambiguous) == (decimal, grouping, False)

    @pytest.mark.parametrize("values", [["1,234"], ["1.234", "2.500"], ["1,5", "1.5"]])
    def test_leave_open_what_reads_both_ways(self, values: list[str]) -> None:
        decision = decide_number_locale(values)
        assert (decision.decimal, decision.ambiguous) == (None, True)

    @pytest.mark.parametrize("values", [["NaN", "INF"], ["a"], [""], ["1-2-3"]])
    def test_find_no_numbers_where_there_are_none(self, values: list[str]) -> None:
        decision = decide_number_locale(values)
        assert (decision.decimal, decision.ambiguous) == (None, False)

    def test_tell_percent_and_currencies(self) -> None:
        assert decide_number_locale(["5%", "7.5%"]).percent
        assert decide_number_locale(["$5", "EUR 7", "8 €"]).currencies == ("$", "EUR", "€")


class TestKinds:
    def test_booleans_need_one_pair_of_words(self) -> None:
        assert decide_boolean(["Yes", "no", ""]).true_words == ("y", "yes")
        assert decide_boolean(["yes", "false"]).true_words == ()
        assert decide_boolean([]).true_words == ()

    @pytest.mark.parametrize(
        ("values", "kind"),
        [
            (["ann@example.com", ""], "email"),
            (["+1 555 010 0000", "(555) 123-4567"], "phone"),
            (["https://example.com/a", "www.example.org"], "url"),
            (["2024-01-01"], "date"),
            (["1.5", "2"], "number"),
            (["0", "1"], "number"),
            (["yes", "no"], "boolean"),
            (["Ann"], "text"),
            (["", " "], "blank"),
        ],
    )
    def test_are_told_by_content(self, values: list[str], kind: str) -> None:
        assert infer_kind(values)[0] == kind
