"""Written date formats: a small language of tokens, read alike by Python and by PostgreSQL."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta, timezone
from functools import lru_cache
from typing import Literal

_TOKENS = ("YYYY", "MMMM", "MMM", "YY", "MM", "DD", "HH", "hh", "mm", "ss", "M", "D", "H", "A", "Z", "f")
_TOKEN = re.compile("|".join(_TOKENS))
_SAME = {"M": "MM", "D": "DD", "H": "HH", "MMMM": "MMM"}
_LITERALS = frozenset(" -/.,:T'")

_PATTERNS = {
    "YYYY": "([0-9]{4})",
    "YY": "([0-9]{2})",
    "MM": "([0-9]{1,2})",
    "DD": "([0-9]{1,2})",
    "HH": "([01]?[0-9]|2[0-3])",
    "hh": "(0?[1-9]|1[0-2])",
    "mm": "([0-5][0-9])",
    "ss": "([0-5][0-9])",
    "f": "([0-9]{1,6})",
    "MMM": r"([^\W\d_]{3,12}\.?)",
    "A": r"([AaPp]\.?[Mm]\.?)",
    "Z": r"(Z|z|[-+][0-9]{2}:?[0-9]{2})",
}
_WIDTHS = {"f": 6}
_EXACT = {"MM": "([0-9]{2})", "DD": "([0-9]{2})", "HH": "([01][0-9]|2[0-3])"}

_MONTH_NAMES = (
    "january jan januar janv janvier enero ene gennaio gen januari janeiro jänner",
    "february feb februar févr fevr février fevrier febrero febbraio februari fev fevereiro",
    "march mar märz maerz mär mars marzo maart mrt março marco",
    "april apr avril avr abril abr aprile",
    "may mai mayo maggio mag mei maio",
    "june jun juni juin junio giugno giu junho",
    "july jul juli juil juillet julio luglio lug julho",
    "august aug août aout agosto ago augustus",
    "september sep sept septembre septiembre settembre set setembro",
    "october oct oktober okt octobre octubre ottobre ott out outubro",
    "november nov novembre noviembre novembro",
    "december dec dezember dez déc décembre decembre diciembre dic dicembre dezembro",
)
MONTHS = {name: number for number, names in enumerate(_MONTH_NAMES, 1) for name in names.split()}

CENTURY_PIVOT = 69
"""Two-digit years from here on are 19xx, those below 20xx (POSIX)."""


class BadFormat(ValueError):
    """A date format that cannot be used; the message says why."""


@dataclass(frozen=True, slots=True)
class DateFormat:
    """One way to write dates, e.g. `DD.MM.YYYY HH:mm`.

    Tokens: YYYY, YY, MM, DD, MMM (month names in seven languages), HH, hh with A (am, pm), mm, ss, f
    (fraction), Z (zone). Days and months need no leading zero where a sign separates them.
    """

    text: str
    tokens: tuple[str, ...]
    pieces: tuple[tuple[str, ...], ...] = field(repr=False)
    """Tokens between one separator and the next."""
    separators: tuple[str, ...] = field(repr=False)
    source: str = field(repr=False)
    pattern: re.Pattern[str] = field(repr=False)

    @property
    def has_time(self) -> bool:
        return "HH" in self.tokens or "hh" in self.tokens

    @property
    def order(self) -> Literal["dmy", "mdy"] | None:
        """What comes first where day and month are both numbers and the year comes last."""
        digits = [token for token in self.tokens if token in {"DD", "MM", "YYYY", "YY"}]
        if digits[:2] == ["DD", "MM"]:
            return "dmy"
        return "mdy" if digits[:2] == ["MM", "DD"] else None

    def swapped(self) -> str | None:
        """The format with day and month exchanged, if both are numbers and the year comes last."""
        if self.order is None:
            return None
        return self.text.translate({ord("D"): "M", ord("M"): "D"})

    def parse(self, value: str) -> datetime | None:
        """The moment a value names (midnight without a time; zone only with Z), or None."""
        match = self.pattern.fullmatch(value)
        if match is None:
            return None
        parts = dict(zip(self.tokens, match.groups(), strict=True))
        month = MONTHS.get(parts["MMM"].rstrip(".").lower()) if "MMM" in parts else int(parts["MM"])
        if month is None:
            return None
        year = int(parts["YYYY"]) if "YYYY" in parts else _full_year(int(parts["YY"]))
        hour = int(parts.get("HH", 0))
        if "hh" in parts:
            hour = int(parts["hh"]) % 12 + (12 if parts["A"][0] in "Pp" else 0)
        try:
            return datetime(
                year,
                month,
                int(parts["DD"]),
                hour,
                int(parts.get("mm", 0)),
                int(parts.get("ss", 0)),
                int(parts.get("f", "0").ljust(6, "0")),
                tzinfo=_zone(parts["Z"]) if "Z" in parts else None,
            )
        except ValueError:
            return None

    @property
    def in_sql(self) -> bool:
        """Whether PostgreSQL can read it: month names, am/pm and zones are left to Python."""
        fraction_ends = not any("f" in piece[:-1] for piece in self.pieces)
        return fraction_ends and not {"MMM", "A", "Z"} & set(self.tokens)

    @property
    def sql_pattern(self) -> str:
        """A pattern of PostgreSQL for a part of what `parse` reads: one space where it takes several."""
        return f"^{self.source.replace('(', '(?:').replace(' +', ' ')}$"

    def sql_parts(self, value: str) -> dict[str, str]:
        """An expression for the digits of each token of a value that matches `sql_pattern`. Cutting at the
        separators takes a tenth of the time of capturing groups."""
        separators = sorted(set(self.separators))
        if len(separators) > 1:
            marks, spaces = ("".join(separators).replace("'", "''"), " " * len(separators))
            value = f"translate({value}, '{marks}', '{spaces}')"
        mark = (" " if len(separators) > 1 else "".join(separators)).replace("'", "''")
        parts: dict[str, str] = {}
        for place, tokens in enumerate(self.pieces, 1):
            piece = f"split_part({value}, '{mark}', {place})" if mark else value
            start = 1
            for token in tokens:
                width = _WIDTHS.get(token, len(token))
                parts[token] = piece if len(tokens) == 1 else f"substr({piece}, {start}, {width})"
                start += width
        return parts


def _full_year(year: int) -> int:
    return year + (1900 if year >= CENTURY_PIVOT else 2000)


def _zone(text: str) -> timezone:
    if text in {"Z", "z"}:
        return UTC
    digits = text[1:].replace(":", "")
    offset = timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
    return timezone(-offset if text[0] == "-" else offset)


@lru_cache(maxsize=1024)
def date_format(text: str) -> DateFormat:
    """Compiles a format. Raises `BadFormat`."""
    if not text or len(text) > 40:
        raise BadFormat("A date format has 1 to 40 characters.")
    tokens: list[str] = []
    parts: list[str] = []
    pieces: list[list[str]] = [[]]
    separators: list[str] = []
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            if text[position] not in _LITERALS:
                raise BadFormat(f"{text[position]!r} is neither a token nor a separator.")
            separators.append(text[position])
            pieces.append([])
            parts.append(" +" if text[position] == " " else re.escape(text[position]))
            position += 1
            continue
        token = _SAME.get(match[0], match[0])
        if token in tokens:
            raise BadFormat(f"{token} stands twice.")
        tokens.append(token)
        position = match.end()
        tight = token in _EXACT and (_TOKEN.match(text, position) is not None or bool(pieces[-1]))
        pieces[-1].append(token)
        parts.append(_EXACT[token] if tight else _PATTERNS[token])
    _check(tokens)
    source = "".join(parts)
    return DateFormat(
        text, tuple(tokens), tuple(map(tuple, pieces)), tuple(separators), source, re.compile(source)
    )


def _check(tokens: list[str]) -> None:
    if ("YYYY" in tokens) + ("YY" in tokens) != 1:
        raise BadFormat("It needs one year, YYYY or YY.")
    if ("MM" in tokens) + ("MMM" in tokens) != 1 or "DD" not in tokens:
        raise BadFormat("It needs one month, MM or MMM, and one day, DD.")
    if ("hh" in tokens) != ("A" in tokens):
        raise BadFormat("hh and A go together.")
    if "HH" in tokens and "hh" in tokens:
        raise BadFormat("HH and hh exclude each other.")
    clock = (
        ("HH" in tokens or "hh" in tokens) + ("mm" in tokens) * 2 + ("ss" in tokens) * 4 + ("f" in tokens) * 8
    )
    if clock not in {0, 3, 7, 15}:
        raise BadFormat("A time is hours and minutes, then seconds, then a fraction.")


def iso_date(moment: datetime) -> str:
    return date.isoformat(moment.date())
