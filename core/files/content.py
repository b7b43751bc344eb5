"""What a file is, told from its first bytes. The name only decides between kinds of text, which look alike."""

from __future__ import annotations

import codecs

# How much of a file is looked at.
HEAD_BYTES = 8 * 1024

BINARY = "application/octet-stream"
HTML = "text/html"

_OFFICE = "application/vnd.openxmlformats-officedocument"
_SIGNATURES = (
    (b"%PDF-", "application/pdf"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"\x1f\x8b", "application/gzip"),
    (b"PAR1", "application/vnd.apache.parquet"),
    # Excel, Word and Outlook of before 2007 share one container.
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "application/x-ole-storage"),
)
# A part of a zip archive -> the document that has it.
_PARTS = (
    (b"xl/", f"{_OFFICE}.spreadsheetml.sheet"),
    (b"word/", f"{_OFFICE}.wordprocessingml.document"),
    (b"ppt/", f"{_OFFICE}.presentationml.presentation"),
)
_OPEN_DOCUMENT = b"mimetypeapplication/vnd.oasis.opendocument."
_TEXTS_BY_ENDING = {
    "csv": "text/csv",
    "tsv": "text/tab-separated-values",
    "md": "text/markdown",
    "ndjson": "application/x-ndjson",
    "jsonl": "application/x-ndjson",
    "eml": "message/rfc822",
}
_BOMS = (codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_MARKUP = (b"<!doctype html", b"<html", b"<head", b"<body", b"<script", b"<iframe")
# Control characters that texts hold.
_BLANKS = frozenset(b"\t\n\r\f\x1b\x0b")


def content_type_of(head: bytes, name: str) -> str:
    """The media type of a file that starts with `head` (`HEAD_BYTES` of it, or all)."""
    for signature, found in _SIGNATURES:
        if head.startswith(signature):
            return found
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return "image/webp"
    if head.startswith(b"PK\x03\x04"):
        return _zip_type(head)
    return _text_type(head, name) if head and _is_text(head) else BINARY


def _zip_type(head: bytes) -> str:
    if head[30:].startswith(_OPEN_DOCUMENT):
        kind = head[30 + len(_OPEN_DOCUMENT) :].split(b"PK", 1)[0].decode("ascii", "ignore")
        if kind in ("spreadsheet", "text", "presentation"):
            return f"application/vnd.oasis.opendocument.{kind}"
    if b"[Content_Types].xml" in head:
        return next((found for part, found in _PARTS if part in head), "application/zip")
    return "application/zip"


def _is_text(head: bytes) -> bool:
    if head.startswith(_BOMS):
        return True
    return not any(byte < 32 and byte not in _BLANKS for byte in head)


def _text_type(head: bytes, name: str) -> str:
    text = _plain(head).lstrip().lower()
    # Browsers look for markup in whatever is called a text.
    if any(mark in text for mark in _MARKUP):
        return HTML
    if b"<svg" in text:
        return "image/svg+xml"
    if text.startswith(b"<?xml"):
        return "application/xml"
    if text.startswith(b"begin:vcard"):
        return "text/vcard"
    if text.startswith(b"begin:vcalendar"):
        return "text/calendar"
    ending = name.rpartition(".")[2].lower() if "." in name else ""
    if ending in _TEXTS_BY_ENDING:
        return _TEXTS_BY_ENDING[ending]
    return "application/json" if ending == "json" and text[:1] in (b"{", b"[") else "text/plain"


def _plain(head: bytes) -> bytes:
    """The text without its byte order mark; of UTF-16 only what is ASCII is wanted."""
    if head.startswith(codecs.BOM_UTF8):
        return head[len(codecs.BOM_UTF8) :]
    return head[2:].replace(b"\0", b"") if head.startswith(_BOMS) else head
