"""How a text table is written: delimiter, quotes, escapes, line ends."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from io import StringIO
from itertools import islice

from data_import.engine.limits import MAX_RECORD_CHARS, SAMPLE_BYTES, SCORED_CHARS

_CANDIDATES: tuple[tuple[str, float], ...] = (
    (",", 1.0),
    (";", 1.0),
    ("\t", 1.0),
    ("|", 1.0),
    ("^", 0.9),
    ("~", 0.9),
    ("\x1f", 0.9),
    ("\x01", 0.9),
)
# They are common inside cells (10:30, Ann Lee): taken only if nothing else splits and every record agrees.
_LAST_RESORTS = (":", " ")

_PLAIN_CELL = re.compile(
    r"""\s*(
      | [-+(]?[$€£]?\d[\d.,'\u00a0\u202f ]*(e[-+]?\d+)?[%)€]?      # numbers of any locale
      | \d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}([T ]\d{1,2}[:.]\d{2}.*)?   # dates
      | [\w.+-]+@[\w-]+(\.[\w-]+)+
      | https?://\S+
      | [^,;|\t^~\x01\x1f]*                                        # words without another candidate
    )\s*""",
    re.VERBOSE | re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Dialect:
    """`quote` is empty when quotes are plain characters; `backslash` when a backslash escapes a quote;
    `skip_space` when a space behind the delimiter belongs to no cell."""

    delimiter: str
    quote: str = '"'
    backslash: bool = False
    skip_space: bool = False

    def reader(self, lines: Iterable[str]) -> Iterator[list[str]]:
        """The records of lines that kept their ends."""
        if self.backslash:
            lines = map(self.unescape, lines)
        return csv.reader(
            lines,
            delimiter=self.delimiter,
            quotechar=self.quote or None,
            quoting=csv.QUOTE_MINIMAL if self.quote else csv.QUOTE_NONE,
            skipinitialspace=self.skip_space,
        )

    def unescape(self, line: str) -> str:
        """Turns backslash escapes of quotes and backslashes into doubled quotes and single backslashes."""
        if "\\" not in line:
            return line
        return _ESCAPED.sub(lambda match: self.quote * 2 if match[1] == self.quote else match[0][1:], line)


_ESCAPED = re.compile(r"\\([\"'\\])")


def find_newline(text: str) -> str:
    """`crlf`, `lf`, `cr`, `mixed` or `none`."""
    crlf = text.count("\r\n")
    counts = {"crlf": crlf, "lf": text.count("\n") - crlf, "cr": text.count("\r") - crlf}
    kinds = [kind for kind, count in counts.items() if count]
    return "none" if not kinds else kinds[0] if len(kinds) == 1 else "mixed"


def parse_sample(text: str, dialect: Dialect, limit: int = 1_000) -> list[list[str]]:
    """The first records of a bounded text, blank ones included. A quote left open ends with the text."""
    return list(islice(dialect.reader(StringIO(text, newline="")), limit))


# The limit is one for the whole process and far below ours by default. Readers bound records themselves.
csv.field_size_limit(max(csv.field_size_limit(), MAX_RECORD_CHARS + SAMPLE_BYTES))


def find_dialect(
    text: str, *, delimiter: str | None = None, quote: str | None = None
) -> tuple[Dialect, tuple[str, ...]]:
    """The dialect of a sample and the evidence for it; what is given is not questioned."""
    scored = text[:SCORED_CHARS]
    if len(text) > len(scored):
        scored = scored[: max(scored.rfind("\n"), scored.rfind("\r")) + 1] or scored
    evidence: list[str] = []
    quotes = quote if quote is not None else '"'
    if delimiter is None:
        delimiter, why = _find_delimiter(scored, quotes)
        evidence.append(why)
    else:
        evidence.append("delimiter given")
    if quote is None:
        quotes = _find_quote(scored, delimiter)
        if quotes != '"':
            evidence.append("single quotes enclose cells" if quotes else "quotes never enclose a cell")
    if not quotes:
        return Dialect(delimiter, ""), tuple(evidence)
    mark, split = re.escape(quotes), re.escape(delimiter)
    backslash = re.search(rf"\\{mark}(?!\s*({split}|[\r\n]|\Z)|{mark})", scored) is not None
    skip_space = delimiter != " " and _has_spaced_quotes(scored, delimiter, quotes)
    if backslash:
        evidence.append("a backslash escapes quotes")
    if skip_space:
        evidence.append("a space stands between delimiter and quote")
    return Dialect(delimiter, quotes, backslash, skip_space), tuple(evidence)


def _find_delimiter(text: str, quote: str) -> tuple[str, str]:
    best, best_score = "", 0.0
    for candidate, weight in _CANDIDATES:
        if candidate in text:
            score = weight * _score(text, candidate, quote)
            if score > best_score:
                best, best_score = candidate, score
    if best:
        return best, f"delimiter {best!r} splits the sample best (score {best_score:.2f})"
    for candidate in _LAST_RESORTS:
        rows = [row for row in parse_sample(text, Dialect(candidate, quote), 200) if any(row)]
        widths = {len(row) for row in rows}
        if len(rows) >= 3 and len(widths) == 1 and widths.pop() >= 3:
            return candidate, f"every record splits alike at {candidate!r}"
    return ",", "a single column"


def _score(text: str, delimiter: str, quote: str) -> float:
    """How well a delimiter explains the sample: shared widths (the pattern score of CleverCSV, van den
    Burg et al. 2019) times the share of cells that hold one plain value."""
    rows = [row for row in parse_sample(text, Dialect(delimiter, quote), 200) if any(map(str.strip, row))]
    widths = Counter(map(len, rows))
    if not rows or max(widths) < 2:
        return 0.0
    pattern = sum(count * (width - 1) / width * (count / len(rows)) for width, count in widths.items()) / len(
        rows
    )
    header_width = len(rows[0])
    if widths.most_common(1)[0][0] != header_width and len(rows) > 2:
        pattern *= 0.7
    cells = [cell for row in rows[:100] for cell in row[:100]]
    plain = sum(1 for cell in cells if len(cell) > 200 or _PLAIN_CELL.fullmatch(cell)) / len(cells)
    return pattern * (0.2 + 0.8 * plain)


def _has_spaced_quotes(text: str, delimiter: str, quote: str) -> bool:
    """Whether cells are written as `a, "b"`: they begin with space and quote, and no longer do when the
    space is skipped (a cell that holds space and quote by itself would keep them)."""
    if f"{delimiter} " not in text:
        return False
    spaced = re.compile(rf" +{re.escape(quote)}")

    def count(skip: bool) -> int:
        rows = parse_sample(text, Dialect(delimiter, quote, skip_space=skip))
        return sum(1 for row in rows for cell in row[1:] if spaced.match(cell))

    return count(False) > 0 and count(True) == 0


def _find_quote(text: str, delimiter: str) -> str:
    split = re.escape(delimiter)
    edge_before, edge_after = rf"(?:^|(?<=[\r\n])|{split} *)", rf"(?= *(?:{split}|[\r\n]|\Z))"
    if '"' not in text:
        wrapped = len(re.findall(rf"{edge_before}'[^'\r\n]*'{edge_after}", text))
        opened = len(re.findall(rf"{edge_before}'", text))
        return "'" if wrapped >= 2 and wrapped >= opened * 0.9 else '"'
    if re.search(rf'{edge_before}"[^"\r\n]*"{edge_after}', text):
        return '"'
    # No cell is enclosed: inch marks and the like. Two stray marks or more and a table that only
    # fits when they are plain characters; a single one is left to be reported at its record.
    bare = [row for row in parse_sample(text, Dialect(delimiter, ""), 200) if any(row)]
    widths = {len(row) for row in bare}
    if len(bare) >= 2 and len(widths) == 1 and widths.pop() > 1 and text.count('"') >= 2:
        quoted = [row for row in parse_sample(text, Dialect(delimiter), 200) if any(row)]
        if len(quoted) < len(bare):
            return ""
    return '"'
