"""Tables as Markdown."""

from __future__ import annotations

from core.render import RENDERERS, Renderer, Rendering, TotalRow


def write_markdown(rendering: Rendering) -> None:
    for table in rendering.document.tables:
        lines = [[column.label for column in table.columns], ["---"] * len(table.columns)]
        for row in rendering.rows(table):
            cells = row.cells if isinstance(row, TotalRow) else row
            lines.append(["" if cell is None else str(cell).replace("|", "\\|") for cell in cells])
        rendering.write("".join(f"| {' | '.join(line)} |\n" for line in lines).encode())
    for notice in rendering.notices:
        rendering.write(f"\n{notice}\n".encode())


RENDERERS.register(
    "markdown", Renderer("markdown", "Markdown", "text/markdown; charset=utf-8", "md", write_markdown)
)
