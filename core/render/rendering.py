"""The registry of formats and the one function that renders: `render("xlsx", document, out)`.

A format is a `Renderer`: a function that reads a document through a `Rendering`, which counts rows and bytes and enforces
limits, so that no format can leave out rows without saying so. Apps register more in their `extensions` room.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Protocol

from core.kernel.registry import Registry
from core.render.documents import Document, Row, Table


class NotRenderable(Exception):
    """A format cannot hold the document, or what it needs is not installed. The text is for people."""


class Output(Protocol):
    """A binary file or anything that takes bytes."""

    def write(self, data: bytes, /) -> Any: ...


@dataclass(frozen=True)
class Renderer:
    name: str
    label: str
    content_type: str
    extension: str
    # Writes the document. Further keyword arguments are options of the format. Raises: NotRenderable.
    write: Callable[..., None]
    # Over all tables; None: as many as there are.
    row_limit: int | None = None
    # Whether it holds several tables.
    holds_many: bool = True
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Rendered:
    format: str
    content_type: str
    # Plain ASCII, without a folder.
    file_name: str
    row_count: int
    # Whether the file holds everything the document had.
    is_complete: bool
    bytes_written: int
    # What people should know: rows left out, charts not drawn, letters without a font. The file says the same where it can.
    notices: tuple[str, ...]


@dataclass
class Rendering:
    """One run: the document, where it goes, and what has been seen of it so far."""

    document: Document
    out: Output
    row_limit: int | None
    row_count: int = 0
    bytes_written: int = 0
    is_complete: bool = True
    notices: list[str] = field(default_factory=list)

    def write(self, data: bytes) -> None:
        self.out.write(data)
        self.bytes_written += len(data)

    def rows(self, table: Table) -> Iterator[Row]:
        """The table's rows up to the limits. Notices say what was left out, as soon as the last row has been given."""
        limits = [table.limit, None if self.row_limit is None else max(0, self.row_limit - self.row_count)]
        limit = min((limit for limit in limits if limit is not None), default=None)
        rows = iter(table.rows)
        count = 0
        try:
            for row in rows if limit is None else islice(rows, limit):
                count += 1
                yield row
        finally:
            self.row_count += count
        if limit is not None and next(rows, None) is not None:
            self.leave_out(_cut(table.title, count))

    def leave_out(self, notice: str) -> None:
        """Something is missing from the file."""
        self.is_complete = False
        self.mention(notice)

    def mention(self, notice: str) -> None:
        if notice not in self.notices:
            self.notices.append(notice)


RENDERERS: Registry[Renderer] = Registry("renderer")


def find_renderer(name: str) -> Renderer | None:
    """The renderer of this name or alias ("excel" is "xlsx")."""
    return RENDERERS.find(name) or next((item for item in RENDERERS if name in item.aliases), None)


def render(format: str, document: Document, out: Output, **options: Any) -> Rendered:
    """Write the document to `out` in the format. Rows are read as they are written.

    Raises: NotRenderable; KeyError for a format nobody registered; whatever reading the rows raises, which leaves a part
    of the file behind.
    """
    renderer = find_renderer(format)
    if renderer is None:
        raise KeyError(format)
    if not renderer.holds_many and len(document.tables) != 1:
        raise NotRenderable(f"{renderer.label} holds exactly one table; this has {len(document.tables)}.")
    rendering = Rendering(document, out, renderer.row_limit)
    renderer.write(rendering, **options)
    return Rendered(
        renderer.name,
        renderer.content_type,
        file_name(document, renderer.extension),
        rendering.row_count,
        rendering.is_complete,
        rendering.bytes_written,
        tuple(rendering.notices),
    )


def file_name(document: Document, extension: str) -> str:
    """The title in plain letters and the day, such as `pipeline-by-stage-2026-11-30.pdf`."""
    plain = unicodedata.normalize("NFKD", document.title).encode("ascii", "ignore").decode()
    words = re.sub("[^a-z0-9]+", "-", plain.lower()).strip("-")[:80].strip("-") or "report"
    day = f"-{document.generated_at.astimezone(document.zone):%Y-%m-%d}" if document.generated_at else ""
    return f"{words}{day}.{extension}"


def _cut(title: str, count: int) -> str:
    shown = (
        f"Only the first {count:,} rows are"
        if count > 1
        else "Only the first row is"
        if count
        else "No rows are"
    )
    return f"{f'{title}: ' if title else ''}{shown} in this file; there are more."
