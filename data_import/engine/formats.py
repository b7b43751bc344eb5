"""How a whole column writes dates, numbers and booleans. Nothing is guessed cell by cell."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Literal

from data_import.engine.dates import DateFormat, date_format

DateOrder = Literal["dmy", "mdy"]

WHITESPACE = (
    " \t\n\r\x0b\x0c\x1c\x1d\x1e\x1f\x85\xa0\u1680"
    + "".join(map(chr, range(0x2000, 0x200C)))
    + "\u2028\u2029\u202f\u205f\u2060\u3000\ufeff"
)
"""Every character that transforms call white space, the invisible ones of zero width included."""

MIN_SHARE = 0.8
"""A format is decided only when it reads at least this share of the values that are not blank."""

_MAX_FORMATS = 4
_PROBED = 200


@dataclass(frozen=True, slots=True)
class DateDecision:
    """`formats` in the order in which they are to be tried; empty when the column holds no dates or the
    order of day and month stays open, then `ambiguous` is true and `choices` are what to ask for.
    `share` is the part of the values that the formats (or each choice) read."""

    formats: tuple[str, ...]
    ambiguous: bool
    choices: tuple[str, ...]
    share: float
    evidence: tuple[str, ...]

    @property
    def format(self) -> str | None:
        return self.formats[0] if self.formats else None


@dataclass(frozen=True, slots=True)
class NumberDecision:
    """The `decimal` sign and the `grouping` sign (empty if none was seen); both None when the column holds
    no numbers or they cannot be told (`1,234` alone), then `ambiguous` is true."""

    decimal: str | None
    grouping: str | None
    ambiguous: bool
    share: float
    percent: bool
    currencies: tuple[str, ...]
    evidence: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class BooleanDecision:
    """The words of the column that mean true and false, lower case; both empty when it holds no booleans."""

    true_words: tuple[str, ...]
    false_words: tuple[str, ...]
    evidence: tuple[str, ...]


def _candidates() -> tuple[DateFormat, ...]:
    years = ("YYYY", "YY")
    dates = ["YYYY-MM-DD", "YYYY/MM/DD", "YYYY.MM.DD", "YYYYMMDD"]
    dates += [
        f"{first}{mark}{second}{mark}{year}"
        for mark in "/-."
        for year in years
        for first, second in (("DD", "MM"), ("MM", "DD"))
    ]
    dates += [f"DD{mark}MMM{mark}{year}" for mark in " -/" for year in years]
    dates += [f"{month} DD{comma} YYYY" for month in ("MMM",) for comma in (",", "")]
    dates += ["DD. MMM YYYY", "YYYY-MMM-DD"]
    clocks = ["HH:mm", "HH:mm:ss", "HH:mm:ss.f", "HH.mm", "HH.mm.ss", "hh:mm A", "hh:mm:ss A"]
    times = [f"{mark}{clock}" for mark in (" ", ", ") for clock in clocks]
    zoned = [f"T{clock}{zone}" for clock in clocks[:3] for zone in ("", "Z")]
    zoned += [f" {clock}{zone}" for clock in clocks[1:3] for zone in ("Z", " Z")]
    formats = [date + time for time in ["", *times] for date in dates]
    formats += [date + time for date in dates[:3] for time in zoned]
    return tuple(map(date_format, formats))


_DATE_FORMATS = _candidates()


def _filled(values: Iterable[str]) -> Counter[str]:
    counts: Counter[str] = Counter(value.strip(WHITESPACE) for value in values)
    counts.pop("", None)
    return counts


def decide_date_format(values: Iterable[str], *, order: DateOrder | None = None) -> DateDecision:
    """How the values of one column write dates (blank ones do not count).

    `order` is what a template or locale says about 03/04/2024; it decides only where the values do not.
    Values that fit only day-first beside values that fit only month-first leave the column ambiguous.
    """
    counts = _filled(values)
    total = sum(counts.values())
    nothing = DateDecision((), False, (), 0.0, ("no value is a date",))
    probe = list(islice(counts, _PROBED))
    live = [fmt for fmt in _DATE_FORMATS if any(fmt.parse(value) for value in probe)]
    if not live:
        return nothing
    fits: dict[str, set[str]] = {
        fmt.text: {value for value in counts if _plausible(fmt, value)} for fmt in live
    }
    chosen: list[str] = []
    evidence: list[str] = []
    left = set(counts)
    decided: DateOrder | None = None
    open_choice: tuple[str, ...] = ()
    while left and len(chosen) < _MAX_FORMATS:
        best = max(live, key=lambda fmt: (_weight(fits[fmt.text] & left, counts), -live.index(fmt)))
        weight = _weight(fits[best.text] & left, counts)
        if weight == 0 or (chosen and weight < total * 0.02):
            break
        twin = best.swapped()
        picked = best.text
        if twin and twin in fits:
            group = (fits[best.text] | fits[twin]) & left
            only, other = group - fits[twin], group - fits[best.text]
            evidence.append(_order_evidence(best.text, twin, len(only), len(other)))
            if only and other:
                # Day-first and month-first values in one column: no single reading is right.
                open_choice = (best.text, twin)
            elif not only and not other:
                wanted = decided or order
                if wanted is None:
                    open_choice = (best.text, twin)
                elif date_format(picked).order != wanted:
                    picked = twin
        else:
            evidence.append(f"{weight} of {total} values read as {best.text}")
        if open_choice:
            break
        decided = date_format(picked).order or decided
        chosen.append(picked)
        left -= fits[picked]
    if open_choice:
        share = _weight(set().union(*(fits[text] for text in (*chosen, *open_choice))), counts) / total
        if share < MIN_SHARE:
            return nothing
        return DateDecision((), True, tuple(sorted(open_choice)), share, tuple(evidence))
    share = _weight(set().union(*(fits[text] for text in chosen)), counts) / total
    if share < MIN_SHARE:
        return nothing
    return DateDecision(tuple(chosen), False, (), share, tuple(evidence))


def _weight(values: set[str], counts: Counter[str]) -> int:
    return sum(counts[value] for value in values)


def _plausible(fmt: DateFormat, value: str) -> bool:
    parsed = fmt.parse(value)
    if parsed is None:
        return False
    # Eight digits are more often an identifier than a date.
    return not fmt.text.startswith("YYYYMMDD") or 1900 <= parsed.year <= 2100


def _order_evidence(first: str, second: str, only_first: int, only_second: int) -> str:
    if not only_first and not only_second:
        return f"every value reads both as {first} and as {second}"
    return f"{only_first} values read only as {first}, {only_second} only as {second}"


_SIGNS = "$€£¥₹₽₩₺₪₫฿₴₦₱¢"
_NUMBER = re.compile(
    rf"""\(?\s*[-+−]?\s*(?P<before>[{_SIGNS}]|[A-Z]{{3}}\s|[A-Z]{{0,2}}\$|kr\.?\s|Fr\.?\s|zł\s)?\s*[-+−]?\s*
        (?P<core>[0-9][0-9.,'\u2019\s]*|[.,][0-9]+)
        (?P<exponent>[eE][-+]?[0-9]{{1,3}})?
        \s*(?P<after>[{_SIGNS}]|%|[A-Z]{{3}}|kr\.?|zł)?\s*-?\s*\)?""",
    re.VERBOSE,
)


def decide_number_locale(values: Iterable[str]) -> NumberDecision:
    """Which signs one column uses for decimals and thousands (blank values do not count)."""
    counts = _filled(values)
    total = sum(counts.values())
    numbers = decimals = 0
    points: Counter[str] = Counter()
    groupings: Counter[str] = Counter()
    either: Counter[str] = Counter()
    currencies: Counter[str] = Counter()
    percent = False
    for value, count in counts.items():
        match = _NUMBER.fullmatch(value)
        if match is None:
            continue
        numbers += count
        sign = (match["before"] or match["after"] or "").strip()
        percent = percent or sign == "%"
        if sign and sign != "%":
            currencies[sign] += count
        point, grouping, open_sign = _separators(match["core"].strip())
        if point:
            points[point] += count
            decimals += count
        if grouping:
            groupings[grouping] += count
        if open_sign:
            either[open_sign] += count
    share = numbers / total if total else 0.0
    extras = (share, percent, tuple(sign for sign, _ in currencies.most_common()))
    if share < MIN_SHARE:
        return NumberDecision(None, None, False, *extras, ("too few values are numbers",))
    evidence = [f"{count} values show {sign!r} as decimal sign" for sign, count in points.most_common()]
    evidence += [f"{count} values show {sign!r} between thousands" for sign, count in groupings.most_common()]
    known = set(points) | {"," if sign == "." else "." for sign in groupings if sign in ".,"}
    if len(known) > 1:
        return NumberDecision(None, None, True, *extras, (*evidence, "the values contradict each other"))
    if not known and either and (sign := _thousands_by_company(counts, either)):
        evidence.append(f"whole numbers stand without {sign!r} below 1000 and with it from there on")
        return NumberDecision("," if sign == "." else ".", sign, False, *extras, tuple(evidence))
    if not known and either:
        evidence.append(f"{sum(either.values())} values may be read both ways, such as 1,234")
        return NumberDecision(None, None, True, *extras, tuple(evidence))
    decimal = known.pop() if known else "."
    groupings += Counter({sign: count for sign, count in either.items() if sign != decimal})
    grouping = groupings.most_common(1)[0][0] if groupings else ""
    return NumberDecision(decimal, grouping, False, *extras, tuple(evidence or ["no separators"]))


def _thousands_by_company(counts: Counter[str], either: Counter[str]) -> str:
    """The sign that must part thousands because whole numbers below 1000 stand beside it bare and none
    above does: decimals of three digits would be written on both (`85,000`)."""
    if len(either) != 1:
        return ""
    sign = next(iter(either))
    bare = [value.lstrip("-+") for value in counts if sign not in value]
    small = [value for value in bare if value.isdigit() and 0 < int(value) < 1000]
    if not small or sum(1 for value in counts if sign in value) < 10:
        return ""
    return sign if not any(value.isdigit() and len(value) > 3 for value in bare) else ""


def _separators(core: str) -> tuple[str, str, str]:
    """(decimal sign, grouping sign, sign that may be either) that the digits of one number show."""
    core = re.sub(r"\s", " ", core).replace("\u2019", "'")
    spaced = next((sign for sign in " '" if sign in core), "")
    rest = core.replace(spaced, "") if spaced else core
    marks = [sign for sign in rest if sign in ".,"]
    if not marks:
        return "", spaced, ""
    last = marks[-1]
    if len(set(marks)) == 2:
        return (last, marks[0], "") if marks.count(last) == 1 else ("", "", "")
    if len(marks) > 1:
        return "", last, ""
    before, after = rest.split(last)
    if spaced or len(after) != 3 or not 1 <= len(before) <= 3 or before.startswith("0"):
        return last, spaced, ""
    return "", spaced, last


_BOOLEANS: tuple[tuple[frozenset[str], frozenset[str]], ...] = tuple(
    (frozenset(true.split()), frozenset(false.split()))
    for true, false in (
        ("true t", "false f"),
        ("yes y", "no n"),
        ("1", "0"),
        ("on", "off"),
        ("ja j", "nein n"),
        ("ja", "nee"),
        ("oui o", "non n"),
        ("sí si s", "no n"),
        ("sim s", "não nao n"),
        ("active", "inactive"),
        ("enabled", "disabled"),
        ("checked", "unchecked"),
    )
)


def decide_boolean(values: Iterable[str]) -> BooleanDecision:
    """Which words of one column mean true and false; all its values must be words of one known pair."""
    words = {value.casefold() for value in _filled(values)}
    for true_words, false_words in _BOOLEANS:
        if words and words <= true_words | false_words:
            found = tuple(sorted(words))
            return BooleanDecision(
                tuple(sorted(true_words)), tuple(sorted(false_words)), (f"the only values are {found}",)
            )
    return BooleanDecision((), (), ("the values are no pair of words for true and false",))


Kind = Literal["email", "phone", "url", "date", "number", "boolean", "text", "blank"]

_MAIL = re.compile(r"[^@\s,;<>]+@[^@\s,;<>]+\.[^@\s,;<>]+")
_URL = re.compile(r"(https?://\S+|www\.\S+\.\S+|([a-z0-9-]+\.)+(com|org|net|io|co|de|fr|eu|uk)(/\S*)?)", re.I)
_PHONE = re.compile(r"(\+|00)?[\s(]*[0-9][0-9\s()./-]{5,22}[0-9](\s*(x|ext\.?)\s*[0-9]{1,6})?", re.I)


def infer_kind(values: Sequence[str]) -> tuple[Kind, float]:
    """What most values of a column are, and the share of them."""
    counts = _filled(values)
    total = sum(counts.values())
    if not total:
        return "blank", 1.0

    def share(pattern: re.Pattern[str]) -> float:
        return sum(count for value, count in counts.items() if pattern.fullmatch(value)) / total

    for kind, pattern in (("email", _MAIL), ("url", _URL)):
        if (found := share(pattern)) >= MIN_SHARE:
            return kind, found  # type: ignore[return-value]
    dates = decide_date_format(counts.elements())
    if dates.formats or dates.ambiguous:
        return "date", dates.share
    if set(counts) <= {"0", "1"} or not decide_boolean(counts).true_words:
        numbers = decide_number_locale(counts.elements())
        phones = share(_PHONE)
        marked = sum(count for value, count in counts.items() if re.search(r"[+()\s-].*[0-9]", value)) / total
        if phones >= MIN_SHARE and marked >= 0.5 and not numbers.currencies:
            return "phone", phones
        if numbers.share >= MIN_SHARE:
            return "number", numbers.share
        return "text", 1.0
    return "boolean", 1.0
