"""Reading what an operator is given: typed by the field's kind, or refused with a path."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import date
from typing import Any

import re2

from core.conditions.nodes import family_of
from core.conditions.operators import Family, Operand, Operator
from core.conditions.periods import Day, Moment, Period, Relative, TooFar
from core.conditions.schema import MAX_PATTERN, MAX_TEXT, MAX_VALUES
from core.entities.kinds import KINDS, MAX_LONG_TEXT, BadValue, Kind
from core.entities.registry import Field
from core.kernel.errors import Fault

_DATED = (Kind.DATE, Kind.DATETIME)
_BARE_DATE = re.compile(r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$")
_EARLIEST, _LATEST = date(1, 1, 2), date(9999, 12, 30)
# Operands that are times only once "now" and the zone are known.
_UNFIXED = (Period, Moment)
# A pattern may not ask for more memory than this (bytes).
_PATTERN_MEMORY = 1 << 20


class BadOperand(Exception):
    def __init__(self, faults: list[Fault]) -> None:
        super().__init__()
        self.faults = faults


def read_operand(field: Field, operator: Operator, value: Any, *, from_text: bool) -> Any:
    """The operand as both back ends use it. `from_text`: the values are texts of query parameters, not JSON.

    Raises: BadOperand with paths from `value` on.
    """
    return _Reader(field, operator, from_text).read(value)


class _Reader:
    def __init__(self, field: Field, operator: Operator, from_text: bool) -> None:
        # Limits of what may be stored are no limits of what may be asked.
        self.field = replace(field, minimum=None, maximum=None, max_length=MAX_LONG_TEXT, required=False)
        self.operator = operator
        self.from_text = from_text
        self.is_tags = family_of(field) is Family.TAGS

    def read(self, value: Any) -> Any:
        match self.operator.operand:
            case Operand.NONE:
                if value is not None:
                    raise _bad("not_expected", f"{self.operator.name} takes no value.")
                return None
            case Operand.MANY:
                return self._many(value, 1, MAX_VALUES, relative=False)
            case Operand.TWO:
                low, high = self._many(value, 2, 2, relative=True)
                if not isinstance(low, _UNFIXED) and not isinstance(high, _UNFIXED) and low > high:
                    raise _bad("wrong_order", "The first value is greater than the second.")
                return low, high
            case Operand.PATTERN:
                return self._pattern(value)
            case Operand.TEXT if not self.is_tags:
                return self._words(value, MAX_TEXT)
            case Operand.ONE_OR_NULL if value is None:
                return None
            case Operand.ONE_OR_NULL if self.is_tags:
                return self._at("value", lambda: self.field.type.from_json(self.field, value))
            case _:
                return self._at("value", lambda: self._one(value, self.operator.operand is Operand.ONE))

    def _at(self, path: str, read: Any) -> Any:
        try:
            return read()
        except BadValue as bad:
            raise BadOperand([Fault(path, bad.code, bad.detail)]) from None

    def _one(self, value: Any, relative: bool) -> Any:
        if value is None:
            raise BadValue("null", "Ask for null with is_null.")
        if self.is_tags:
            # One tag by its name, whichever way it was sent.
            return self.field.type.from_json(self.field, [value])[0]
        if self.field.kind in _DATED and isinstance(value, str):
            period = self._period(value)
            if period is not None and not relative:
                raise BadValue("period", "A relative date or a whole day cannot be one of several; use or.")
            if period is not None:
                return period
        return (self.field.type.from_text if self.from_text else self.field.type.from_json)(self.field, value)

    def _period(self, text: str) -> Period | Moment | None:
        """A relative date, or a bare date asked of a time: the whole day."""
        is_date = self.field.kind is Kind.DATE
        try:
            found = Relative.read(text)
        except TooFar as error:
            raise BadValue("too_large", str(error)) from None
        if isinstance(found, Moment) and is_date:
            raise BadValue("not_a_date", "A date is not compared with a moment; use today.")
        if found is None and not is_date and _BARE_DATE.match(text):
            return self._day(text)
        return found

    def _day(self, text: str) -> Day:
        day = KINDS[Kind.DATE].from_json(self.field, text)
        # Its midnights, in whatever zone, must be times that there are.
        if not _EARLIEST < day < _LATEST:
            raise BadValue("not_a_date", "The day is outside the calendar.")
        return Day(day)

    def _many(self, value: Any, least: int, most: int, *, relative: bool) -> tuple[Any, ...]:
        if not isinstance(value, list):
            raise _bad("not_a_list", "A list of values is expected.")
        if not least <= len(value) <= most:
            what = f"{least}" if least == most else f"{least} to {most}"
            raise _bad("wrong_number", f"{what} values are expected.")
        found, faults = [], []
        for place, item in enumerate(value):
            try:
                found.append(self._at(f"value.{place}", lambda item=item: self._one(item, relative)))
            except BadOperand as bad:
                faults += bad.faults
        if faults:
            raise BadOperand(faults)
        return tuple(found)

    def _words(self, value: Any, most: int) -> str:
        text: str = self._at("value", lambda: KINDS[Kind.LONG_TEXT].from_json(self.field, value))
        if not text:
            raise _bad("empty_value", "A text is expected; ask for a blank one with is_null.")
        if len(text) > most:
            raise _bad("too_long", f"At most {most} characters are allowed.")
        return text

    def _pattern(self, value: Any) -> Any:
        text = self._words(value, MAX_PATTERN)
        options = re2.Options()
        options.max_mem = _PATTERN_MEMORY
        options.log_errors = False
        try:
            return re2.compile(text, options)
        except re2.error as error:
            raise _bad("bad_pattern", f"This is not a regular expression of RE2: {_reason(error)}.") from None


def _reason(error: Exception) -> str:
    reason = error.args[0] if error.args else "unreadable"
    return reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)


def _bad(code: str, detail: str) -> BadOperand:
    return BadOperand([Fault("value", code, detail)])
