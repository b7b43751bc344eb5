"""The formats that ship, registered as an app above registers more. Each format's module is imported with its first use: a
server that never writes a workbook pays nothing."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

from core.render.rendering import RENDERERS, Renderer, Rendering

# What a browser shows without becoming slow, and what somebody may still turn over.
HTML_ROWS = 20_000
PDF_ROWS = 5_000


def _later(module: str, function: str) -> Callable[..., None]:
    def write(rendering: Rendering, **options: Any) -> None:
        getattr(import_module(f"core.render.formats.{module}"), function)(rendering, **options)

    return write


for renderer in (
    Renderer(
        "csv", "CSV", "text/csv; charset=utf-8", "csv", _later("delimited", "write_csv"), holds_many=False
    ),
    Renderer(
        "xlsx",
        "Excel",
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        "xlsx",
        _later("workbook", "write_xlsx"),
        aliases=("excel",),
    ),
    Renderer("json", "JSON", "application/json", "json", _later("objects", "write_json")),
    Renderer(
        "ndjson",
        "NDJSON",
        "application/x-ndjson",
        "ndjson",
        _later("objects", "write_ndjson"),
        holds_many=False,
    ),
    Renderer(
        "html", "HTML", "text/html; charset=utf-8", "html", _later("page", "write_html"), row_limit=HTML_ROWS
    ),
    Renderer("pdf", "PDF", "application/pdf", "pdf", _later("paper", "write_pdf"), row_limit=PDF_ROWS),
):
    RENDERERS.register(renderer.name, renderer)
