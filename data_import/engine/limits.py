"""Every limit on an input file, and the error that names it."""

from __future__ import annotations

SAMPLE_BYTES = 1024 * 1024
"""How much of a file is read to detect its shape."""

SCORED_CHARS = 64 * 1024
"""How much of the sample each candidate delimiter is tried on."""

MAX_COLUMNS = 1_000
MAX_CELL_CHARS = 1024 * 1024
MAX_RECORD_CHARS = 4 * 1024 * 1024
"""A record, however many lines it spans, is never held in memory beyond this."""

MAX_REREAD_CHARS = 32 * 1024 * 1024
"""How much of a file is read a second time behind quotes that never close."""

MAX_HEADER_CHARS = 255
MAX_LEADING_RECORDS = 50
"""How far down the header is looked for."""


class UnusableFile(Exception):
    """The input as a whole cannot be imported.

    `code` is stable (`empty`, `blank`, `header_only`, `not_a_csv`, `too_many_columns`, `line_too_long`,
    `encoding_mismatch`, `unknown_encoding`, `bad_hint`, `header_not_found`, `too_many_runaway_quotes`);
    `detail` is for people and names the limit or the byte offset.
    """

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail
