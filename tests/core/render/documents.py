"""Documents that tests render."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from core.render import CellType, Column, Document, Rendered, Table, render

BERLIN = ZoneInfo("Europe/Berlin")
NOON = datetime(2026, 7, 1, 12, 0, tzinfo=UTC)
TEXT = Column("name", "Name")
AMOUNT = Column("amount", "Amount", CellType.MONEY, currency="EUR")


def document_of(columns: Sequence[Column], rows: Iterable[Any], **facts: Any) -> Document:
    table = {key: facts.pop(key) for key in ("limit", "subtotal_levels") if key in facts}
    given = {"title": "Deals", "generated_at": NOON, "zone": BERLIN, **facts}
    return Document(parts=[Table("Deals", columns, rows, name="deals", **table)], **given)


def rendered(format: str, document: Document, **options: Any) -> tuple[bytes, Rendered]:
    out = io.BytesIO()
    result = render(format, document, out, **options)
    assert result.bytes_written == len(out.getvalue())
    return out.getvalue(), result
