"""What a file is, and what it may be called."""

from __future__ import annotations

import pytest

from core.files.content import HEAD_BYTES, content_type_of
from core.files.names import clean_name

XLSX = b"PK\x03\x04" + b"\0" * 26 + b"[Content_Types].xml" + b"\0" * 40 + b"xl/workbook.xml"

CONTENTS = [
    (b"%PDF-1.7 ...", "a.txt", "application/pdf"),
    (b"\x89PNG\r\n\x1a\n\0\0", "a.pdf", "image/png"),
    (b"\xff\xd8\xff\xe0", "a", "image/jpeg"),
    (b"RIFF\0\0\0\0WEBPVP8 ", "a.webp", "image/webp"),
    (b"\x1f\x8b\x08", "a.csv", "application/gzip"),
    (b"PAR1\0", "a", "application/vnd.apache.parquet"),
    (XLSX, "a.csv", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
    (
        b"PK\x03\x04" + b"\0" * 26 + b"mimetypeapplication/vnd.oasis.opendocument.spreadsheetPK",
        "a",
        "application/vnd.oasis.opendocument.spreadsheet",
    ),
    (b"PK\x03\x04" + b"\0" * 60, "a.xlsx", "application/zip"),
    (b"a,b\n1,2\n", "rows.csv", "text/csv"),
    (b"\xef\xbb\xbfa;b\n", "rows.CSV", "text/csv"),
    ("\ufeffa\tb\n".encode("utf-16-le"), "rows.tsv", "text/tab-separated-values"),
    (b"Gr\xfc\xdfe\n", "a.txt", "text/plain"),
    (b'{"a": 1}', "a.json", "application/json"),
    (b"not json", "a.json", "text/plain"),
    (b"BEGIN:VCARD\r\n", "a", "text/vcard"),
    (b"<?xml version='1.0'?><a/>", "a.csv", "application/xml"),
    (b"<svg onload=alert(1)>", "a.png", "image/svg+xml"),
    (b"  <!DOCTYPE HTML><p>", "a.txt", "text/html"),
    (b"harmless,\n<script>alert(1)</script>", "rows.csv", "text/html"),
    ("\ufeff<html>".encode("utf-16-le"), "a.csv", "text/html"),
    (b"MZ\x90\0\x03", "a.csv", "application/octet-stream"),
    (b"\x7fELF\x02\0", "a.pdf", "application/octet-stream"),
    (b"", "a.csv", "application/octet-stream"),
]

NAMES = [
    ("rows.csv", "rows.csv"),
    ("../../etc/passwd", "passwd"),
    ("..\\..\\boot.ini", "boot.ini"),
    ("/", "file"),
    ("..", "file"),
    ("", "file"),
    ("\0\0", "file"),
    ("a\0b.csv", "ab.csv"),
    ("a\r\nSet-Cookie: x=1.csv", "aSet-Cookie: x=1.csv"),
    ("invoice\u202efdp.exe", "invoicefdp.exe"),
    ("\ud800.csv", "csv"),
    (".htaccess", "htaccess"),
    ("Größe 表.csv", "Größe 表.csv"),
    ("Gro\u0308ße.csv", "Größe.csv"),
    ('say "hi"; x=y.csv', 'say "hi"; x=y.csv'),
]


@pytest.mark.parametrize(("head", "name", "expected"), CONTENTS, ids=lambda value: str(value)[:30])
def test_the_content_says_what_a_file_is(head: bytes, name: str, expected: str) -> None:
    assert content_type_of(head[:HEAD_BYTES], name) == expected


@pytest.mark.parametrize(("given", "expected"), NAMES, ids=lambda value: repr(value)[:30])
def test_a_name_is_cleaned(given: str, expected: str) -> None:
    assert clean_name(given) == expected


def test_a_long_name_keeps_its_ending() -> None:
    cleaned = clean_name("x" * 300 + ".csv")
    assert (len(cleaned), cleaned[-5:]) == (255, "x.csv")
    assert len(clean_name("x" * 300)) == 255
    assert len(clean_name("x." + "y" * 300)) == 255
