"""Transforms that read dates, numbers, booleans and currencies."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from string import ascii_lowercase, ascii_uppercase
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field, PrivateAttr

from data_import.engine.dates import CENTURY_PIVOT, DateFormat, date_format, iso_date
from data_import.engine.formats import WHITESPACE
from data_import.engine.transforms import sql
from data_import.engine.transforms.base import (
    Text,
    Transform,
    TransformError,
    is_blank,
    shown,
    simple_lower,
)
from data_import.engine.transforms.currencies import CURRENCY_CODES, CURRENCY_NAMES, CURRENCY_SIGNS
from data_import.engine.transforms.text import Word


def _known_format(text: str) -> str:
    return date_format(text).text


DateFormatText = Annotated[str, AfterValidator(_known_format)]


class _Moments(Transform):
    """Shared by dates and moments: ordered formats, the first that reads a value wins."""

    formats: tuple[DateFormatText, ...] = Field(min_length=1, max_length=10)

    partial: ClassVar[bool] = True
    code: ClassVar[str]
    _compiled: tuple[DateFormat, ...] = PrivateAttr(default=())

    def model_post_init(self, context: Any, /) -> None:
        self._compiled = tuple(map(date_format, self.formats))

    def _result(self, moment: Any, fmt: DateFormat) -> str:
        raise NotImplementedError

    def apply(self, *values: Text) -> Text:
        value = (values[0] or "").strip(WHITESPACE)
        if not value:
            return None
        for fmt in self._compiled:
            moment = fmt.parse(value)
            if moment is not None:
                return self._result(moment, fmt)
        raise TransformError(self.code, f"{shown(value)} is not written as {' or '.join(self.formats)}.")

    def sql(self, *expressions: str) -> str | None:
        readable: list[DateFormat] = []
        for fmt in self._compiled:
            # A format behind one that only Python reads could win where it must not.
            if not fmt.in_sql:
                break
            readable.append(fmt)
        if not readable:
            return None
        return sql.once(
            sql.trimmed(expressions[0]),
            lambda value: f"coalesce({', '.join(self._case(value, fmt) for fmt in readable)})",
        )

    def _case(self, value: str, fmt: DateFormat) -> str:
        parts = fmt.sql_parts(value)
        year = parts.get("YYYY") or (
            f"CASE WHEN {parts['YY']} >= '{CENTURY_PIVOT}' THEN '19' ELSE '20' END || {parts['YY']}"
        )
        day = f"{year} || '-' || {_two(parts['MM'])} || '-' || {_two(parts['DD'])}"
        clock = self._clock(parts)
        checked = sql.once(
            day, lambda d: f"CASE WHEN pg_input_is_valid({d}, 'date') THEN {d}{clock} END", name="_day"
        )
        return f"CASE WHEN {value} ~ {sql.literal(fmt.sql_pattern)} THEN {checked} END"

    def _clock(self, parts: Mapping[str, str]) -> str:
        return ""


def _two(digits: str) -> str:
    return f"lpad({digits}, 2, '0')"


class ParseDate(_Moments):
    name = "parse_date"
    summary = "Reads a date in the first of the given formats that fits; a time of day is left out."
    code = "invalid_date"

    def _result(self, moment: Any, fmt: DateFormat) -> str:
        return iso_date(moment)


class ParseDatetime(_Moments):
    name = "parse_datetime"
    summary = (
        "Reads date and time in the first of the given formats that fits, as ISO 8601 with the zone if any."
    )
    code = "invalid_datetime"

    def _result(self, moment: Any, fmt: DateFormat) -> str:
        return str(moment.isoformat())

    def _clock(self, parts: Mapping[str, str]) -> str:
        clock = " || ':' || ".join(
            _two(parts[token]) if token in parts else "'00'" for token in ("HH", "mm", "ss")
        )
        if "f" not in parts:
            return f" || 'T' || {clock}"
        digits = f"rpad({parts['f']}, 6, '0')"
        return f" || 'T' || {clock} || CASE WHEN {digits} = '000000' THEN '' ELSE '.' || {digits} END"


_MAX_DIGITS = 40
_SIGN = re.compile(r"[-+\u2212]")
_AFFIX_BEFORE = re.compile(r"(?:[A-Z]{0,3}[$€£¥₹₽₩₺₪₫฿₴₦₱]|[A-Z]{3}|kr\.?|Fr\.?|zł)")
_AFFIX_AFTER = re.compile(r"(?:[$€£¥₹₽₩₺₪₫฿₴₦₱]|[A-Z]{3}|kr\.?|Fr\.?|zł)\Z")


class ParseNumber(Transform):
    name = "parse_number"
    summary = (
        "Reads a number with the given decimal and grouping signs. Currency signs and codes around it are "
        "left out, parentheses mean minus; `percent` says whether 5% is refused, 5 or 0.05. NaN and infinity "
        "are no numbers. The result keeps its decimals as written."
    )

    decimal: Literal[".", ","] = "."
    grouping: Literal["", ",", ".", " ", "'"] = ","
    percent: Literal["refuse", "keep", "fraction"] = "refuse"

    partial: ClassVar[bool] = True
    _plain: re.Pattern[str] = PrivateAttr(default=re.compile(""))

    def model_post_init(self, context: Any, /) -> None:
        if self.decimal == self.grouping:
            if "grouping" in self.model_fields_set:
                raise ValueError("The decimal sign and the grouping sign must differ.")
            object.__setattr__(self, "grouping", ".")
        point, group = re.escape(self.decimal), re.escape(self.grouping)
        whole = r"[0-9]+"
        if group:
            whole += (
                rf"|[0-9]{{1,3}}(?:{group}[0-9]{{3}})+|[0-9]{{1,2}}(?:{group}[0-9]{{2}})+{group}[0-9]{{3}}"
            )
        self._plain = re.compile(
            rf"(?:(?:{whole})(?:{point}[0-9]*)?|{point}[0-9]+)(?:[eE][-+]?[0-9]{{1,3}})?"
        )

    def apply(self, *values: Text) -> Text:
        value = (values[0] or "").strip(WHITESPACE)
        if not value:
            return None
        core, negative, percent = self._bare(value)
        if self.grouping == " ":
            core = re.sub(r"(?<=[0-9])[\u00a0\u202f\u2009](?=[0-9])", " ", core)
        if self.grouping == "'":
            core = core.replace("\u2019", "'")
        if not self._plain.fullmatch(core) or (percent and self.percent == "refuse"):
            raise TransformError(
                "invalid_number", f"{shown(value)} is not a number written like {self._like()}."
            )
        if self.grouping:
            core = core.replace(self.grouping, "")
        try:
            number = Decimal(core.replace(self.decimal, "."))
        except InvalidOperation as error:
            raise TransformError("invalid_number", f"{shown(value)} is not a number.") from error
        if percent and self.percent == "fraction":
            number = number.scaleb(-2)
        exponent = int(number.as_tuple().exponent)
        if len(number.as_tuple().digits) > _MAX_DIGITS or not -_MAX_DIGITS <= exponent <= _MAX_DIGITS:
            raise TransformError("number_too_large", f"{shown(value)} has more than {_MAX_DIGITS} digits.")
        if negative and number:
            number = -number
        return format(number, "f")

    def _bare(self, value: str) -> tuple[str, bool, bool]:
        """The digits and separators of a number, whether it is negative and whether a percent sign stands."""
        negative = value.startswith("(") and value.endswith(")")
        if negative:
            value = value[1:-1].strip(WHITESPACE)
        signs = 0
        for pattern in (_SIGN, _AFFIX_BEFORE, _SIGN):
            match = pattern.match(value)
            if match and (pattern is _SIGN or _is_currency(match[0])):
                if pattern is _SIGN:
                    negative = negative != (match[0] != "+")
                    signs += 1
                value = value[match.end() :].lstrip(WHITESPACE)
        percent = value.endswith("%")
        if percent:
            value = value[:-1].rstrip(WHITESPACE)
        elif value.endswith("-") and not signs:
            negative, value = not negative, value[:-1].rstrip(WHITESPACE)
        else:
            match = _AFFIX_AFTER.search(value)
            if match and _is_currency(match[0]):
                value = value[: match.start()].rstrip(WHITESPACE)
        return ("" if signs > 1 else value), negative, percent

    def _like(self) -> str:
        return f"1{self.grouping}234{self.decimal}50"

    def sql(self, *expressions: str) -> str:
        whole = "[0-9]+"
        if self.grouping:
            whole += f"|[0-9]{{1,3}}(?:[{self.grouping}][0-9]{{3}})+"
        pattern = sql.literal(f"^[-+]?(?:{whole})(?:[{self.decimal}][0-9]+)?$")

        def body(value: str) -> str:
            number = f"replace({value}, {sql.literal(self.grouping)}, '')" if self.grouping else value
            if self.decimal != ".":
                number = f"replace({number}, {sql.literal(self.decimal)}, '.')"
            test = f"length({value}) <= {_MAX_DIGITS} AND {value} ~ {pattern}"
            return f"CASE WHEN {test} THEN ({number})::numeric::text END"

        return sql.once(sql.trimmed(expressions[0]), body)


def _is_currency(text: str) -> bool:
    """Three capitals are left out only if they are a currency: LOT 5 is not a number."""
    return not re.fullmatch("[A-Z]{3}", text) or text in CURRENCY_CODES


_TRUE = ("true", "t", "yes", "y", "1", "on", "x", "ja", "oui", "sí", "si", "sim")
_FALSE = ("false", "f", "no", "n", "0", "off", "nein", "nee", "non", "não", "nao")


class ParseBoolean(Transform):
    name = "parse_boolean"
    summary = "Reads yes and no; the words may be given and are compared without case."

    true_words: tuple[Word, ...] = Field(default=_TRUE, min_length=1, max_length=50)
    false_words: tuple[Word, ...] = Field(default=_FALSE, min_length=1, max_length=50)

    partial: ClassVar[bool] = True
    _table: dict[str, str] = PrivateAttr(default_factory=dict)

    def model_post_init(self, context: Any, /) -> None:
        table = {simple_lower(word.strip(WHITESPACE)): "true" for word in self.true_words}
        for word in self.false_words:
            if table.setdefault(simple_lower(word.strip(WHITESPACE)), "false") == "true":
                raise ValueError(f"{shown(word)} cannot mean both.")
        self._table = table

    def apply(self, *values: Text) -> Text:
        value = (values[0] or "").strip(WHITESPACE)
        if not value:
            return None
        found = self._table.get(simple_lower(value))
        if found is None:
            raise TransformError("invalid_boolean", f"{shown(value)} means neither yes nor no.")
        return found

    def sql(self, *expressions: str) -> str:
        cases = " ".join(
            f"WHEN {sql.literal(word)} THEN '{meaning}'" for word, meaning in self._table.items() if word
        )
        return f"CASE {sql.lowered(sql.trimmed(expressions[0]))} {cases} END"


class Currency(Transform):
    name = "currency"
    summary = (
        "Reads a currency as code, sign or name and gives its ISO 4217 code; `dollar` says which $ is meant."
    )

    dollar: Annotated[str, Field(pattern=r"^[A-Z]{3}$")] = "USD"
    yen: Literal["JPY", "CNY"] = "JPY"

    partial: ClassVar[bool] = True

    def model_post_init(self, context: Any, /) -> None:
        if self.dollar not in CURRENCY_CODES:
            raise ValueError(f"{self.dollar} is not an ISO 4217 code.")

    def apply(self, *values: Text) -> Text:
        value = (values[0] or "").strip(WHITESPACE)
        if is_blank(value):
            return None
        code = value.upper() if value.isascii() else value
        if code in CURRENCY_CODES:
            return code
        if value == "$":
            return self.dollar
        if value == "¥":
            return self.yen
        found = CURRENCY_SIGNS.get(value) or CURRENCY_NAMES.get(simple_lower(value))
        if found is None:
            raise TransformError("invalid_currency", f"{shown(value)} is no currency.")
        return found

    def sql(self, *expressions: str) -> str:
        letters = f"'{ascii_lowercase}', '{ascii_uppercase}'"
        value = f"translate({sql.trimmed(expressions[0])}, {letters})"
        codes = sql.array(sorted(CURRENCY_CODES))
        return sql.once(value, lambda code: f"CASE WHEN {code} IN ({codes}) THEN {code} END")
