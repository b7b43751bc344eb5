"""Detection and reading: what a text table holds, whatever wrote it."""

import csv
import io
import json
import tracemalloc
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_import.engine.detect import Hints, clean_headers, detect
from data_import.engine.limits import MAX_CELL_CHARS, MAX_COLUMNS, MAX_RECORD_CHARS, UnusableFile
from data_import.engine.records import ParsedRecord, read_records

DataDir = Callable[[str], Path]


def read(content: bytes, **hints: Any) -> tuple[list[ParsedRecord], Any]:
    detection = detect(io.BytesIO(content), hints=Hints(**hints))
    reader = read_records(io.BytesIO(content), detection)
    return list(reader), reader


def values(content: bytes, **hints: Any) -> list[list[str]]:
    records, _ = read(content, **hints)
    assert all(record.fault is None for record in records)
    return [record.values for record in records]


@pytest.fixture(scope="module")
def messy(data_dir: DataDir) -> tuple[Path, dict[str, dict[str, Any]]]:
    folder = data_dir("messy_csv")
    return folder, json.loads((folder / "expected.json").read_text())


def column(path: Path, name: str) -> list[str]:
    detection = detect(path)
    with path.open("rb") as file:
        position = detection.headers.index(name)
        return [record.values[position] for record in read_records(file, detection) if not record.fault]


class TestMessyFiles:
    def test_all_say_what_was_found_by_hand(self, messy: tuple[Path, dict[str, dict[str, Any]]]) -> None:
        folder, expected = messy
        assert len(expected) >= 46
        for name, facts in expected.items():
            # No single byte tells Greek from any other single-byte text: the template has to.
            encoding = facts["encoding"] if facts["encoding"].startswith("iso-8859") else None
            detection = detect(folder / name, hints=Hints(encoding=encoding))
            with (folder / name).open("rb") as file:
                reader = read_records(file, detection)
                records = list(reader)
            found = {
                "delimiter": detection.delimiter,
                "header_record": detection.header_row,
                "header": list(detection.raw_headers),
                "columns": detection.column_count,
                "data_records": reader.number,
                "empty_records": reader.blank_count,
                "wrong_width_records": [
                    [record.number, record.fault.found]
                    for record in records
                    if record.fault and record.fault.code == "wrong_width"
                ],
            }
            assert found == {key: facts[key] for key in found}, name
            assert any(r.fault and r.fault.code == "nul" for r in records) == facts.get("has_nul", False), (
                name
            )
            raw = (folder / name).read_bytes()
            assert raw[detection.bom_length :].decode(detection.encoding) == raw.decode(facts["encoding"]), (
                name
            )

    def test_spectrum_files_hold_their_twin(self, messy: tuple[Path, dict[str, dict[str, Any]]]) -> None:
        twins = sorted(messy[0].glob("spectrum_*.json"))
        assert twins
        for twin in twins:
            path = twin.with_suffix(".csv")
            detection = detect(path)
            with path.open("rb") as file:
                rows = [
                    dict(zip(detection.headers, record.values, strict=True))
                    for record in read_records(file, detection)
                ]
            assert rows == json.loads(twin.read_text())

    def test_sums_are_those_of_the_source(self, messy: tuple[Path, dict[str, dict[str, Any]]]) -> None:
        folder, _ = messy
        costs = column(folder / "csvkit_ks_1033_data.csv", "total_cost")
        assert (len(costs), sum(map(Decimal, costs))) == (1575, Decimal("4126824.62"))
        prices = column(folder / "fric_cp1252_decimal_comma.csv", "Average Price")
        assert len(prices) == 638
        assert sum(Decimal(price.replace(",", ".")) for price in prices) == Decimal("68796.43397465")
        totals = column(folder / "csvkit_FY09_EDU_Recipients_by_State.csv", "TOTAL")
        assert sum(int(total.replace(",", "")) for total in totals) == 506_914
        assert len(totals) == 52

    def test_backslash_and_doubled_quotes_live_in_one_file(
        self, messy: tuple[Path, dict[str, dict[str, Any]]]
    ) -> None:
        assert column(messy[0] / "fric_escaping.csv", "Test") == [
            "Test line 1",
            'Test " line 2',
            'Test " line 3',
        ]


class TestEncodings:
    TEXT = "name;city\r\nZoë;Köln\r\nÉmile;Orléans\r\n"

    @pytest.mark.parametrize(
        ("codec", "mark", "name"),
        [
            ("utf-8", b"", "utf-8"),
            ("utf-8", b"\xef\xbb\xbf", "utf-8"),
            ("utf-16-le", b"\xff\xfe", "utf-16-le"),
            ("utf-16-be", b"\xfe\xff", "utf-16-be"),
            ("utf-16-le", b"", "utf-16-le"),
            ("utf-16-be", b"", "utf-16-be"),
            ("utf-32-le", b"\xff\xfe\x00\x00", "utf-32-le"),
            ("cp1252", b"", "cp1252"),
        ],
    )
    def test_are_found(self, codec: str, mark: bytes, name: str) -> None:
        content = mark + self.TEXT.encode(codec)
        detection = detect(io.BytesIO(content))
        assert (detection.encoding, detection.bom, detection.newline) == (name, bool(mark), "crlf")
        assert detection.headers == ("name", "city")
        assert values(content) == [["Zoë", "Köln"], ["Émile", "Orléans"]]

    def test_bytes_that_cp1252_lacks_make_it_latin_1(self) -> None:
        detection = detect(io.BytesIO(b"a,b\n\x81\xe9,2\n"))
        assert detection.encoding == "latin-1"

    def test_declared_wins_over_a_guess(self) -> None:
        content = "id,όνομα\n1,Άννα\n".encode("iso-8859-7")
        assert values(content, encoding="ISO-8859-7") == [["1", "Άννα"]]

    @pytest.mark.parametrize("declared", ["utf-16", "UTF-16LE"])
    def test_declared_family_takes_the_mark(self, declared: str) -> None:
        content = b"\xff\xfe" + self.TEXT.encode("utf-16-le")
        assert values(content, encoding=declared)[0] == ["Zoë", "Köln"]

    @pytest.mark.parametrize(
        ("content", "declared", "offset"),
        [
            (b"a,b\n1,\xe9\n", "utf-8", 6),
            ("a,b\n1,é\n".encode(), "ascii", 6),
            (b"\xef\xbb\xbfa,b\n1,2\n", "cp1252", 0),
            (b"a,b\n" + b"1,2\n" * 400_000 + b"\xff,2\n", "utf-8", 1_600_004),
            (b"a,b\n1,\xe2\x82", "utf-8", 6),
        ],
    )
    def test_declared_wrongly_names_the_byte(self, content: bytes, declared: str, offset: int) -> None:
        with pytest.raises(UnusableFile, match=rf"byte offset {offset}\b") as caught:
            detect(io.BytesIO(content), hints=Hints(encoding=declared))
        assert caught.value.code == "encoding_mismatch"

    @pytest.mark.parametrize("name", ["klingon", "idna", "base64", "", "utf-7\0"])
    def test_unknown_names_are_refused(self, name: str) -> None:
        if not name:
            assert detect(io.BytesIO(b"a\n1\n"), hints=Hints(encoding=name)).encoding == "utf-8"
            return
        with pytest.raises(UnusableFile) as caught:
            detect(io.BytesIO(b"a\n1\n"), hints=Hints(encoding=name))
        assert caught.value.code == "unknown_encoding"

    def test_a_sign_far_behind_the_sample_counts(self) -> None:
        content = b"a,b\n" + b"1,2\n" * 500_000 + "3,é\n".encode()
        records, _ = read(content)
        assert records[-1].values == ["3", "é"]

    def test_few_broken_bytes_are_faults_of_their_records(self) -> None:
        content = b"id,name\n" + "1,Zoë\n".encode() * 200 + b"2,Zo\xeb\n" + "3,Zoë\n".encode()
        records, _ = read(content)
        assert [(r.number, r.fault.code) for r in records if r.fault] == [(201, "bad_encoding")]
        assert records[-1].values == ["3", "Zoë"]
        assert records[200].values[1].encode()


class TestDialects:
    @pytest.mark.parametrize("delimiter", [",", ";", "\t", "|", "^", "~", ":", " ", "\x1f"])
    def test_delimiters_are_found(self, delimiter: str) -> None:
        rows = [["id", "name", "amount"], ["1", "Ann", "10.5"], ["2", "Bob", "7"], ["3", "Cy", "0"]]
        content = "\n".join(delimiter.join(row) for row in rows).encode()
        detection = detect(io.BytesIO(content))
        assert (detection.delimiter, detection.headers) == (delimiter, ("id", "name", "amount"))

    def test_any_character_by_hint(self) -> None:
        assert values("a§b\n1§2\n".encode(), delimiter="§") == [["1", "2"]]

    @pytest.mark.parametrize(
        "hints", [{"delimiter": ",,"}, {"delimiter": "\n"}, {"quote": ",", "delimiter": ","}]
    )
    def test_hints_must_make_sense(self, hints: dict[str, str]) -> None:
        with pytest.raises(UnusableFile) as caught:
            detect(io.BytesIO(b"a,b\n1,2\n"), hints=Hints(**hints))  # type: ignore[arg-type]
        assert caught.value.code == "bad_hint"

    def test_one_column_of_words_or_times_is_one_column(self) -> None:
        assert values(b"name\nAnn Lee\nBob Ray\nCy Poe\n") == [["Ann Lee"], ["Bob Ray"], ["Cy Poe"]]
        assert values(b"at\n10:30\n11:45\n") == [["10:30"], ["11:45"]]

    def test_decimal_commas_do_not_split(self) -> None:
        content = b"day;rate;price\n01-01-13;0,61;81,20\n02-01-13;0,55;111,03\n"
        assert values(content)[0] == ["01-01-13", "0,61", "81,20"]

    @pytest.mark.parametrize(("end", "name"), [("\n", "lf"), ("\r\n", "crlf"), ("\r", "cr")])
    def test_line_ends(self, end: str, name: str) -> None:
        content = end.join(["a,b", "1,2", '3,"x y"', ""]).encode()
        assert detect(io.BytesIO(content)).newline == name
        assert values(content) == [["1", "2"], ["3", "x y"]]

    def test_mixed_line_ends(self) -> None:
        content = b"a,b\r\n1,2\n3,4\r5,6"
        assert detect(io.BytesIO(content)).newline == "mixed"
        assert values(content) == [["1", "2"], ["3", "4"], ["5", "6"]]

    def test_single_quotes_enclose_when_the_file_says_so(self) -> None:
        assert values(b"'a','b'\n'1','x, y'\n'2','it is'\n")[0] == ["1", "x, y"]
        assert values(b"a,b\n'tis,2\nx,3\n")[0] == ["'tis", "2"]

    def test_backslashes_are_data_unless_they_escape_quotes(self) -> None:
        assert values(b'a,b\n"C:\\dir\\",2\n"D:\\",3\n')[0] == ["C:\\dir\\", "2"]
        assert values(b'a,b\n"say \\"hi\\"",C:\\temp\n')[0] == ['say "hi"', "C:\\temp"]

    def test_inch_marks_are_plain_characters(self) -> None:
        content = b'id\tsize\tname\n1\t"5\tdisk\n2\t"3\tdrive\n3\t8\ttape\n'
        assert values(content) == [["1", '"5', "disk"], ["2", '"3', "drive"], ["3", "8", "tape"]]


class TestHeaders:
    @pytest.mark.parametrize(
        ("content", "row", "headers"),
        [
            (b"\n\n\na,b,c\n1,2,3\n", 3, ("a", "b", "c")),
            (b'"A title",,\na,b,c\n1,2,3\n', 1, ("a", "b", "c")),
            (b"# note\na,b\n1,2\n", 1, ("a", "b")),
            (
                b"Report,2024,,,\n\nid,name,city,zip,mail\n1,a,b,c,d\n",
                2,
                ("id", "name", "city", "zip", "mail"),
            ),
            (b"id,,\n1,x,2\n", 0, ("id", "column_2", "column_3")),
            (b"id,name,id,id_2,id\n1,2,3,4,5\n", 0, ("id", "name", "id_3", "id_2", "id_4")),
            (b"a,,column_2\n1,2,3\n", 0, ("a", "column_2_2", "column_2")),
            (b'" Full\n name ",b\n1,2\n', 0, ("Full name", "b")),
        ],
    )
    def test_are_found_and_named(self, content: bytes, row: int, headers: tuple[str, ...]) -> None:
        detection = detect(io.BytesIO(content))
        assert (detection.header_row, detection.headers) == (row, headers)
        assert values(content)

    def test_none_by_hint(self) -> None:
        detection = detect(io.BytesIO(b"1,x\n2,y\n"), hints=Hints(has_header=False))
        assert (detection.header_row, detection.headers) == (None, ("column_1", "column_2"))
        assert values(b"1,x\n2,y\n", has_header=False) == [["1", "x"], ["2", "y"]]

    def test_row_by_hint(self) -> None:
        assert values(b"x,y\na,b\n1,2\n", header_row=1) == [["1", "2"]]
        with pytest.raises(UnusableFile) as caught:
            detect(io.BytesIO(b"a,b\n1,2\n"), hints=Hints(header_row=9))
        assert caught.value.code == "header_not_found"

    def test_values_in_the_header_are_a_warning(self) -> None:
        detection = detect(io.BytesIO(b"1,ann@example.com\n2,bob@example.com\n"))
        assert [warning.code for warning in detection.warnings] == ["header_looks_like_data"]

    @given(st.lists(st.text(max_size=8), min_size=1, max_size=12))
    def test_are_always_unique_and_never_blank(self, raw: list[str]) -> None:
        names, _ = clean_headers(raw)
        assert len(set(names)) == len(raw)
        assert all(name == name.strip() and name for name in names)


class TestUnusable:
    @pytest.mark.parametrize(
        ("content", "code", "says"),
        [
            (b"", "empty", "no content"),
            (b" \n\t\r\n ", "blank", "blanks"),
            (b"\xef\xbb\xbf", "blank", "blanks"),
            (b"\xff\xfe", "blank", "blanks"),
            (b"a,b,c\n", "header_only", "no records"),
            (b"a,b,c\n,,\n\n", "header_only", "no records"),
            (b"PK\x03\x04....xl/workbook.xml", "not_a_csv", "Excel workbook"),
            (b"PK\x03\x04....", "not_a_csv", "zip"),
            (b"%PDF-1.7\n", "not_a_csv", "PDF"),
            (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1....", "not_a_csv", "Excel"),
            (b"\x1f\x8b\x08\x00", "not_a_csv", "gzip"),
            (bytes(range(256)) * 40, "not_a_csv", "binary"),
            (b"\x00" * 4000 + b"\n", "not_a_csv", "binary"),
            (b'<?xml version="1.0"?><a/>', "not_a_csv", "XML"),
            (b"<!DOCTYPE html><html></html>", "not_a_csv", "HTML"),
            (b'[{"a": 1}]', "not_a_csv", "JSON"),
            (b'{"a": 1}\n{"a": 2}\n', "not_a_csv", "JSON"),
            (b"BEGIN:VCARD\r\nVERSION:4.0\r\n", "not_a_csv", "vCard"),
            (b",".join(b"c%d" % n for n in range(MAX_COLUMNS + 1)) + b"\n1\n", "too_many_columns", "1,000"),
            (b"c," * 1_000_000 + b"\n1\n", "too_many_columns", "1,000"),
            (b"column," * 1_000_000 + b"\n1\n", "too_many_columns", "1,000"),
            (b"x" * (MAX_RECORD_CHARS + 2), "line_too_long", "1,048,576"),
            (b"x" * (MAX_CELL_CHARS + 10) + b",y\n1,2\n", "line_too_long", "1,048,576"),
        ],
    )
    def test_is_refused_with_its_reason(self, content: bytes, code: str, says: str) -> None:
        with pytest.raises(UnusableFile) as caught:
            detect(io.BytesIO(content))
        assert caught.value.code == code
        assert says in caught.value.detail

    def test_the_column_limit_itself_is_fine(self) -> None:
        content = (
            b",".join(b"c%d" % n for n in range(MAX_COLUMNS)) + b"\n" + b"1," * (MAX_COLUMNS - 1) + b"1\n"
        )
        assert detect(io.BytesIO(content)).column_count == MAX_COLUMNS

    def test_tags_as_headers_are_a_table(self) -> None:
        assert detect(io.BytesIO(b"<DATE>,<OPEN>\n20240101,5\n")).headers == ("<DATE>", "<OPEN>")

    def test_a_line_of_100_mb_is_refused_in_little_memory(self, tmp_path: Path) -> None:
        path = tmp_path / "long.csv"
        with path.open("wb") as file:
            for _ in range(100):
                file.write(b"y" * 1024 * 1024)
        tracemalloc.start()
        with pytest.raises(UnusableFile) as caught:
            detect(path)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert caught.value.code == "line_too_long"
        assert "4,194,304" in caught.value.detail
        assert peak < 40 * 1024 * 1024


class TestRecords:
    def test_faults_stay_on_their_record(self) -> None:
        records, reader = read(b"a,b,c\n1,2,3\n1,2\n1,2,3,4\n\n,,\n1,\x00,3\n7,8,9\n")
        faults = [(r.number, r.fault.code, r.values) for r in records if r.fault]
        assert faults == [
            (2, "wrong_width", ["1", "2"]),
            (3, "wrong_width", ["1", "2", "3", "4"]),
            (6, "nul", ["1", "\u2400", "3"]),
        ]
        assert (records[-1].number, records[-1].values) == (7, ["7", "8", "9"])
        assert (reader.number, reader.blank_count, reader.fault_count) == (7, 2, 3)

    def test_are_numbered_as_records_not_lines(self) -> None:
        records, _ = read(b'a,b\n"x\ny\nz",1\n"\r\n",2\nlast,3\n')
        assert [(r.number, r.values[0]) for r in records] == [(1, "x\ny\nz"), (2, "\r\n"), (3, "last")]

    def test_a_quote_open_to_the_end_costs_one_record(self) -> None:
        content = b'a,b,c\n1,x,y\n2,"x,y\n' + b"3,x,y\n" * 500
        records, _ = read(content)
        assert len(records) == 502
        assert [(r.number, r.fault.code) for r in records if r.fault] == [(2, "runaway_quote")]
        assert records[1].values == ["2", '"x', "y"]

    def test_a_quote_open_beyond_the_limit_costs_one_record(self) -> None:
        content = b'a,b,c\n1,x,y\n2,"x,y\n' + b"3,some text,more text\n" * 400_000 + b'4,"q",z\n'
        detection = detect(io.BytesIO(content))
        reader = read_records(io.BytesIO(content), detection)
        faults = [(record.number, record.fault.code) for record in reader if record.fault]
        assert faults == [(2, "runaway_quote")]
        assert reader.number == 400_003

    def test_a_stray_quote_that_eats_whole_records_gives_them_back(self) -> None:
        content = b'a,b,c\n1,x,y\n2,"5 inch,y\n3,x,y\n4,x,y\n5,8" disk,y,\n6,"ok, fine",y\n'
        records, _ = read(content)
        assert [(r.number, r.fault.code if r.fault else "") for r in records] == [
            (1, ""),
            (2, "runaway_quote"),
            (3, ""),
            (4, ""),
            (5, "wrong_width"),
            (6, ""),
        ]

    def test_a_quoted_cell_of_many_lines_is_one_record_even_if_its_width_is_wrong(self) -> None:
        records, _ = read(b'a,b,c\n1,"line\nline, with\nline",y,extra\n2,x,y\n')
        assert [(r.number, r.fault.code if r.fault else "") for r in records] == [(1, "wrong_width"), (2, "")]

    def test_quotes_that_never_end_are_not_retried_for_ever(self) -> None:
        content = b"a,b,c\n1,2,3\n" + b'a","\n' * 1_000_000
        detection = detect(io.BytesIO(content), hints=Hints(delimiter=",", quote='"'))
        with pytest.raises(UnusableFile) as caught:
            list(read_records(io.BytesIO(content), detection))
        assert caught.value.code == "too_many_runaway_quotes"

    def test_long_cells_and_long_lines_are_faults(self) -> None:
        cell, line = b"x" * (MAX_CELL_CHARS + 1), b"y" * (MAX_RECORD_CHARS * 2)
        records, _ = read(
            b"a,b\n1,2\n" + cell + b",2\n" + line + b"\n3,4\n" + b"z" * MAX_CELL_CHARS + b",5\n"
        )
        assert [r.fault.code if r.fault else "" for r in records] == [
            "",
            "cell_too_long",
            "record_too_long",
            "",
            "",
        ]
        assert max(len(value) for record in records for value in record.values) == MAX_CELL_CHARS

    def test_memory_does_not_grow_with_the_file(self, tmp_path: Path) -> None:
        path = tmp_path / "big.csv"
        with path.open("w") as file:
            file.write("a,b,c\n")
            file.writelines(f"{number},name {number},x\n" for number in range(300_000))
        detection = detect(path)
        tracemalloc.start()
        with path.open("rb") as stream:
            count = sum(1 for _ in read_records(stream, detection))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert count == 300_000
        assert peak < 2 * 1024 * 1024

    def test_a_stream_is_left_open(self) -> None:
        stream = io.BytesIO(b"a,b\n1,2\n")
        detection = detect(stream)
        assert len(list(read_records(stream, detection))) == 1
        assert len(list(read_records(stream, detection))) == 1


# Many control characters would make the file binary data.
CELLS = st.text(st.characters(exclude_categories=("Cs", "Cc")) | st.sampled_from("\n\r\t\v\f"), max_size=12)


@settings(max_examples=300, deadline=None)
@given(
    rows=st.lists(st.lists(CELLS, min_size=3, max_size=3), min_size=1, max_size=12),
    delimiter=st.sampled_from(",;\t|^"),
    end=st.sampled_from(["\r\n", "\n", "\r"]),
    codec=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
)
def test_what_a_writer_wrote_is_what_is_read(
    rows: list[list[str]], delimiter: str, end: str, codec: str, quoting: Any
) -> None:
    rows = [[cell if "\r" not in cell or end != "\n" else "x" for cell in row] for row in rows] + [["x"] * 3]
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=delimiter, lineterminator=end, quoting=quoting)
    if end == "\r":
        rows = [[cell.replace("\n", " ") for cell in row] for row in rows]
    writer.writerow(["first name", "second name", "third name"])
    writer.writerows(rows)
    records, _ = read(text.getvalue().encode(codec), delimiter=delimiter, quote='"', header_row=0)
    sound = {record.number: record.values for record in records}
    assert all(record.fault is None for record in records)
    assert sound == {number: row for number, row in enumerate(rows, 1) if any(map(str.strip, row))}


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="ab1,;\" \n\r\t\\'\0é", max_size=80).map(str.encode) | st.binary(max_size=80))
def test_no_bytes_do_worse_than_an_unusable_file(content: bytes) -> None:
    try:
        records, reader = read(content)
    except UnusableFile:
        return
    numbers = [record.number for record in records]
    assert numbers == sorted(set(numbers))
    assert reader.number >= len(records) + reader.blank_count
    assert not any("\0" in value for record in records for value in record.values)
