"""Files for people and machines: a document of tables and charts, rendered by a registered format.

`render("xlsx", document, out)` streams the rows it is given; see `documents` for what a document is, `rendering` for the
registry, `text.safe_text` for what keeps spreadsheets from calculating, `charts` for pictures. No Django here.
"""

from core.render import extensions as _shipped  # noqa: F401 - registers the formats that ship
from core.render.charts import Chart, ChartType
from core.render.documents import CellType, Column, Document, Row, Table, TotalRow
from core.render.rendering import (
    RENDERERS,
    NotRenderable,
    Rendered,
    Renderer,
    Rendering,
    find_renderer,
    render,
)
from core.render.text import plain_text, safe_text

__all__ = [
    "RENDERERS",
    "CellType",
    "Chart",
    "ChartType",
    "Column",
    "Document",
    "NotRenderable",
    "Rendered",
    "Renderer",
    "Rendering",
    "Row",
    "Table",
    "TotalRow",
    "find_renderer",
    "plain_text",
    "render",
    "safe_text",
]
