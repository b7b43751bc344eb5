"""A web page that needs nothing else: style and pictures are inside, nothing is fetched and nothing runs."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from html import escape
from pathlib import Path
from typing import Any

from core.render.charts import Chart
from core.render.charts.images import WIDTH, ChartsNotInstalled, svg
from core.render.charts.theme import ThemeName
from core.render.documents import CellType, Column, Document, Table, TotalRow
from core.render.rendering import Rendering
from core.render.text import printable
from core.render.values import known_locale, readable, show_moment, show_number, zone_name

POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
FLUSH_AT = 1 << 16
NARROW = 360
_DARK = "(prefers-color-scheme: dark)"
# (when it is shown, theme, width) of the pictures beside the plain one: dark, and for telephones.
PICTURES: tuple[tuple[str, ThemeName, int], ...] = (
    (f"screen and (max-width: 640px) and {_DARK}", "dark", NARROW),
    ("screen and (max-width: 640px)", "light", NARROW),
    (f"screen and {_DARK}", "dark", WIDTH),
)
_FIXED = frozenset({CellType.DATE, CellType.DATETIME, CellType.BOOLEAN})
_RIGHT_TO_LEFT = frozenset({"ar", "fa", "he", "ur", "ps", "ckb", "yi"})


def write_html(rendering: Rendering) -> None:
    pending: list[str] = []
    size = 0
    for piece in _page(rendering):
        pending.append(piece)
        size += len(piece)
        if size >= FLUSH_AT:
            rendering.write("".join(pending).encode())
            pending.clear()
            size = 0
    rendering.write("".join(pending).encode())


@lru_cache(1)
def _style() -> str:
    return Path(__file__).with_suffix(".css").read_text(encoding="utf-8")


def _text(value: str) -> str:
    return escape(printable(value))


def _page(rendering: Rendering) -> Iterator[str]:
    document = rendering.document
    language = known_locale(document.locale).language
    direction = "rtl" if language in _RIGHT_TO_LEFT else "ltr"
    yield (
        f'<!doctype html>\n<html lang="{escape(language)}" dir="{direction}">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{escape(POLICY)}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{_text(document.title)}</title>\n<style>\n{_style()}</style>\n</head>\n<body>\n<main>\n"
    )
    yield from _head(document)
    for part in document.parts:
        yield from _chart(rendering, part) if isinstance(part, Chart) else _table(rendering, part)
    if document.notes:
        yield f'<ul class="notes">{"".join(f"<li>{_text(note)}</li>" for note in document.notes)}</ul>\n'
    yield f"<footer>{_text(' · '.join(_ending(rendering)))}</footer>\n</main>\n</body>\n</html>\n"


def _head(document: Document) -> Iterator[str]:
    company = f'<p class="company">{_text(document.company)}</p>' if document.company else ""
    subtitle = f'<p class="subtitle">{_text(document.subtitle)}</p>' if document.subtitle else ""
    yield f'<header>{company}<h1 dir="auto">{_text(document.title)}</h1>{subtitle}</header>\n'
    facts = list(document.parameters)
    if document.generated_at is not None:
        moment = document.generated_at.astimezone(document.zone)
        facts.append(("Generated", show_moment(moment, known_locale(document.locale))))
    if document.generated_by:
        facts.append(("By", document.generated_by))
    if facts:
        items = (f"<div><dt>{_text(label)}</dt><dd>{_text(value)}</dd></div>" for label, value in facts)
        yield f"<dl>{''.join(items)}</dl>\n"


def _ending(rendering: Rendering) -> Iterator[str]:
    locale = known_locale(rendering.document.locale)
    count = rendering.row_count
    yield f"{show_number(count, locale, 0)} row{'' if count == 1 else 's'}"
    yield "complete" if rendering.is_complete else "incomplete"
    yield f"times in {zone_name(rendering.document.zone)}"


def _notice(text: str) -> str:
    return f'<p class="notice" role="note">{_text(text)}</p>\n'


# --- tables --------------------------------------------------------------------------------------------------------


def _table(rendering: Rendering, table: Table) -> Iterator[str]:
    label = table.title or table.name or rendering.document.title
    name = _text(label)
    caption = f'<caption dir="auto">{name}</caption>' if table.title else ""
    yield f'<section class="part" aria-label="{name}">\n<div class="scroll" tabindex="0" role="region" aria-label="{name}">'
    yield f"<table>{caption}<thead><tr>{''.join(map(_heading, table.columns))}</tr></thead>\n<tbody>\n"
    notices_before, before = len(rendering.notices), rendering.row_count
    yield from _rows(rendering, table)
    yield "</tbody></table></div>\n"
    if rendering.row_count == before and len(rendering.notices) == notices_before:
        yield '<p class="empty">No rows.</p>\n'
    # Shown above the table, where it is read: the order is turned by style.
    yield from map(_notice, rendering.notices[notices_before:])
    yield "</section>\n"


def _heading(column: Column) -> str:
    label = f"{column.label} ({column.currency})" if column.currency else column.label
    return f'<th scope="col"{_class(column)}>{_text(label)}</th>'


def _class(column: Column) -> str:
    names = [column.alignment] if column.alignment != "left" else []
    if column.type in _FIXED:
        names.append("fixed")
    if column.is_total:
        names.append("sum")
    return f' class="{" ".join(names)}"' if names else ""


def _rows(rendering: Rendering, table: Table) -> Iterator[str]:
    writers = [
        _cell(column, table.columns, rendering.document, is_first=place == 0)
        for place, column in enumerate(table.columns)
    ]
    for row in rendering.rows(table):
        if isinstance(row, TotalRow):
            yield f'<tr class="{"subtotal" if row.level else "total"}">{_cells(writers, row.cells)}</tr>\n'
        else:
            yield f"<tr>{_cells(writers, row)}</tr>\n"


def _cells(writers: Iterable[Callable[[Any, Sequence[Any]], str]], cells: Sequence[Any]) -> str:
    return "".join(write(value, cells) for write, value in zip(writers, cells, strict=True))


def _cell(
    column: Column, columns: Sequence[Column], document: Document, *, is_first: bool
) -> Callable[[Any, Sequence[Any]], str]:
    show = readable(column, columns, document)
    tag = "th" if is_first else "td"
    scope = ' scope="row"' if is_first else ""
    # A text in Arabic or Hebrew runs its own way.
    auto = ' dir="auto"' if column.type is CellType.TEXT else ""
    opening, ending = f"<{tag}{scope}{_class(column)}{auto}>", f"</{tag}>"
    nothing = f'{opening}<span class="none" aria-label="no value">–</span>{ending}'

    def write(value: Any, cells: Sequence[Any]) -> str:
        return nothing if value is None else f"{opening}{_text(show(value, cells))}{ending}"

    return write


# --- charts --------------------------------------------------------------------------------------------------------


def _chart(rendering: Rendering, chart: Chart) -> Iterator[str]:
    locale = rendering.document.locale
    sources = []
    try:
        # The first that fits is shown; on paper none of the dark ones does.
        for media, theme, width in PICTURES:
            picture = _inlined(svg(chart, theme=theme, locale=locale, width=width))
            sources.append(f'<source media="{media}" srcset="{picture}">')
        plain = _inlined(svg(chart, locale=locale))
    except ChartsNotInstalled as error:
        rendering.leave_out(f"{chart.title}: {error}")
        yield _notice(f"{chart.title}: {error}")
        return
    yield (
        f'<figure class="part"><picture>{"".join(sources)}<img src="{plain}" alt="{_text(chart.description)}">'
        "</picture></figure>\n"
    )


def _inlined(picture: str) -> str:
    return f"data:image/svg+xml;base64,{b64encode(picture.encode()).decode()}"
