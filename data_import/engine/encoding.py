"""What the bytes of a file are: a table as text in some encoding, or something else."""

from __future__ import annotations

import codecs
import json
import re
from dataclasses import dataclass
from typing import BinaryIO

from data_import.engine.limits import UnusableFile

_BLOCK = 1024 * 1024

_BOMS: tuple[tuple[bytes, str], ...] = (
    (b"\xef\xbb\xbf", "utf-8"),
    (b"\xff\xfe\x00\x00", "utf-32-le"),
    (b"\x00\x00\xfe\xff", "utf-32-be"),
    (b"\xff\xfe", "utf-16-le"),
    (b"\xfe\xff", "utf-16-be"),
)

_MAGIC: tuple[tuple[bytes, str], ...] = (
    (b"%PDF-", "a PDF document"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Excel workbook (.xls) or another OLE document"),
    (b"\x1f\x8b", "gzip data"),
    (b"BZh", "bzip2 data"),
    (b"\xfd7zXZ\x00", "xz data"),
    (b"\x28\xb5\x2f\xfd", "zstandard data"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"),
    (b"Rar!\x1a\x07", "a RAR archive"),
    (b"\x89PNG\r\n\x1a\n", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"SQLite format 3\x00", "an SQLite database"),
    (b"PAR1", "a Parquet file"),
    (b"\x7fELF", "a program"),
    (b"{\\rtf", "an RTF document"),
)

# Codecs whose name is harmless but which are no character sets of files.
_REFUSED_CODECS = frozenset(
    {"idna", "punycode", "unicode-escape", "raw-unicode-escape", "undefined", "utf-7"}
)

_TEXT_CONTROLS = frozenset(b"\t\n\x0b\x0c\r\x1a\x1b\x1c\x1d\x1e\x1f")
_CONTROLS = bytes(byte for byte in range(32) if byte not in _TEXT_CONTROLS)
# A tag must be followed by a tag: tables with headers like <DATE>,<OPEN> exist.
_MARKUP = re.compile(r"<(\?xml|!doctype|html\b|[a-z][\w:.-]*(\s[^<>]*)?>\s*<)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Encoding:
    """`name` decodes the bytes after the first `bom_length`; `bad_at` is the offset of the first byte that
    does not decode in a file that is otherwise plainly UTF-8 (its records are faults of their own)."""

    name: str
    bom_length: int
    evidence: str
    bad_at: int | None = None


def refuse_other_formats(sample: bytes) -> None:
    """Raises `UnusableFile('not_a_csv')` naming what the bytes look like, when they are no text."""
    if sample.startswith(b"PK\x03\x04") or sample.startswith(b"PK\x05\x06"):
        raise UnusableFile("not_a_csv", f"The file looks like {_zip_kind(sample)}, not like a text table.")
    for magic, kind in _MAGIC:
        if sample.startswith(magic):
            raise UnusableFile("not_a_csv", f"The file looks like {kind}, not like a text table.")


def refuse_other_text(text: str) -> None:
    """Raises `UnusableFile('not_a_csv')` for text that is another format: XML, HTML, JSON, vCard."""
    head = text.lstrip()[:4096]
    inside = head[1:].lstrip()[:1]
    if _MARKUP.match(head):
        kind = "XML or HTML"
    elif head[:11].upper() == "BEGIN:VCARD":
        kind = "a vCard file"
    elif (head[0] == "{" and inside in {'"', "}"}) or (head[0] == "[" and (inside == "{" or _is_json(text))):
        kind = "JSON"
    else:
        return
    raise UnusableFile("not_a_csv", f"The file looks like {kind}, not like a text table.")


def _is_json(text: str) -> bool:
    try:
        return isinstance(json.loads(text), list)
    except (ValueError, RecursionError):
        return False


def _zip_kind(sample: bytes) -> str:
    if b"xl/" in sample:
        return "an Excel workbook (.xlsx)"
    if b"opendocument.spreadsheet" in sample:
        return "an OpenDocument spreadsheet (.ods)"
    if b"word/" in sample:
        return "a Word document"
    return "a zip archive"


def find_encoding(file: BinaryIO, sample: bytes, declared: str | None) -> Encoding:
    """The encoding of a seekable binary `file` whose first bytes are `sample`.

    The whole file is decoded once, block by block, so the answer does not depend on what the first
    kilobytes happen to hold. Raises `UnusableFile`: `unknown_encoding`, `encoding_mismatch` (naming the
    byte offset), `not_a_csv` for binary data.
    """
    bom, bom_name = next(((mark, name) for mark, name in _BOMS if sample.startswith(mark)), (b"", ""))
    if declared:
        return _declared(file, sample, declared, bom, bom_name)
    if bom:
        bad_at = _first_fault(file, bom_name, len(bom))
        if bad_at is not None and bom_name != "utf-8":
            raise UnusableFile(
                "encoding_mismatch",
                f"A byte order mark says {bom_name}, but byte offset {bad_at} does not decode.",
            )
        return Encoding(bom_name, len(bom), "byte order mark", bad_at)
    wide = _wide_guess(sample)
    if wide and _first_fault(file, wide, 0) is None:
        return Encoding(wide, 0, "every second byte is zero")
    _refuse_binary(sample)
    return _single_or_utf8(file, sample)


def _declared(file: BinaryIO, sample: bytes, declared: str, bom: bytes, bom_name: str) -> Encoding:
    name = _codec_name(declared)
    if name in {"utf-16", "utf-32"}:
        name = bom_name if bom_name.startswith(name) else _wide_guess(sample) or f"{name}-le"
    if bom and name != bom_name:
        raise UnusableFile(
            "encoding_mismatch",
            f"The file is not {declared}: at byte offset 0 stands the byte order mark of {bom_name}.",
        )
    bad_at = _first_fault(file, name, len(bom))
    if bad_at is not None:
        raise UnusableFile(
            "encoding_mismatch", f"The file is not {declared}: byte offset {bad_at} does not decode."
        )
    return Encoding(name, len(bom), "declared")


def _codec_name(declared: str) -> str:
    try:
        name = codecs.lookup(declared).name
        "".encode(name)
    except (LookupError, ValueError, TypeError) as error:
        raise UnusableFile("unknown_encoding", f"There is no encoding called {declared[:60]!r}.") from error
    if name in _REFUSED_CODECS:
        raise UnusableFile("unknown_encoding", f"{declared[:60]!r} is not an encoding of files.")
    return {"utf-8-sig": "utf-8", "iso8859-1": "latin-1"}.get(name, name)


def _first_fault(file: BinaryIO, encoding: str, start: int) -> int | None:
    """Byte offset of the first byte that does not decode, or None."""
    decoder = codecs.getincrementaldecoder(encoding)("strict")
    file.seek(start)
    offset = start
    while True:
        block = file.read(_BLOCK)
        waiting = len(decoder.getstate()[0])
        try:
            decoder.decode(block, final=not block)
        except UnicodeDecodeError as error:
            return offset - waiting + error.start
        if not block:
            return None
        offset += len(block)


def _wide_guess(sample: bytes) -> str | None:
    """UTF-16 without a mark shows as zero bytes on one side of nearly every pair."""
    pairs = len(sample) // 2
    if pairs < 2:
        return None
    even, odd = sample[0 : pairs * 2 : 2].count(0) / pairs, sample[1 : pairs * 2 : 2].count(0) / pairs
    if odd > 0.5 and even < 0.05:
        return "utf-16-le"
    if even > 0.5 and odd < 0.05:
        return "utf-16-be"
    return None


def _refuse_binary(sample: bytes) -> None:
    controls = len(sample) - len(sample.translate(None, _CONTROLS))
    lines = sample.count(b"\n") + sample.count(b"\r")
    if (controls >= 16 and controls > len(sample) * 0.05) or (controls * 3 > len(sample) and not lines):
        raise UnusableFile(
            "not_a_csv",
            f"The file looks like binary data: {controls} control bytes in the first {len(sample)}.",
        )


def _single_or_utf8(file: BinaryIO, sample: bytes) -> Encoding:
    bad_at = _first_fault(file, "utf-8", 0)
    if bad_at is None:
        return Encoding("utf-8", 0, "ASCII only" if sample.isascii() else "valid UTF-8")
    file.seek(max(0, bad_at - _BLOCK // 2))
    around = file.read(_BLOCK)
    if _mostly_utf8(around):
        return Encoding("utf-8", 0, f"UTF-8 but for byte offset {bad_at}", bad_at)
    name = "cp1252" if _first_fault(file, "cp1252", 0) is None else "latin-1"
    return Encoding(name, 0, f"byte offset {bad_at} is not UTF-8; one byte a character is assumed")


def _mostly_utf8(block: bytes) -> bool:
    """Whether multi-byte UTF-8 sequences by far outnumber the bytes that break the encoding."""
    text = block.decode("utf-8", "surrogateescape")
    broken = sum(1 for character in text if "\udc80" <= character <= "\udcff")
    good = sum(1 for character in text if character > "\x7f") - broken
    return good >= 10 and good > 10 * broken
