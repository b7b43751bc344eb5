"""Small sums over a record: `record.amount * 0.9`, `today() + days(14)`, `coalesce(record.rating, "cold")`.

Read by Python's parser and evaluated here, node by node: names are paths of a record, everything but the listed operators
and functions is refused.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Iterator, Mapping
from datetime import date, datetime, timedelta
from decimal import Decimal, DivisionByZero, InvalidOperation, localcontext
from typing import Any

from workflow.templates import ROOTS

MAX_LENGTH = 500
MAX_NODES = 60

_BINARY: Mapping[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}
# Name -> how many arguments at least and at most.
FUNCTIONS: Mapping[str, tuple[int, int]] = {
    "today": (0, 0),
    "now": (0, 0),
    "days": (1, 1),
    "hours": (1, 1),
    "round": (1, 2),
    "min": (1, 9),
    "max": (1, 9),
    "coalesce": (1, 9),
    "lower": (1, 1),
    "upper": (1, 1),
}


class BadExpression(ValueError):
    """An expression that cannot be read, or has no value for this record."""


def read(text: str) -> ast.expr:
    """The parsed expression. Raises: BadExpression."""
    if len(text) > MAX_LENGTH:
        raise BadExpression(f"At most {MAX_LENGTH} characters are allowed.")
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise BadExpression("This is no expression.") from None
    nodes = list(ast.walk(tree))
    if len(nodes) > MAX_NODES:
        raise BadExpression("The expression is too long.")
    _check(tree)
    return tree


def paths_of(tree: ast.expr) -> Iterator[str]:
    """Every path that the expression names."""
    match tree:
        case ast.Attribute() | ast.Name():
            yield _path(tree)
        case ast.BinOp(left, _, right):
            yield from paths_of(left)
            yield from paths_of(right)
        case ast.UnaryOp(_, operand):
            yield from paths_of(operand)
        case ast.Call(_, arguments):
            for argument in arguments:
                yield from paths_of(argument)


def evaluate(tree: ast.expr, lookup: Callable[[str], Any], *, now: datetime, today: date) -> Any:
    """The value: a text, a number, a date or a time. An unknown part makes the whole null. Raises: BadExpression."""
    with localcontext() as context:
        context.prec = 28
        try:
            return _value(tree, lookup, now, today)
        except (InvalidOperation, DivisionByZero):
            raise BadExpression("The calculation has no result, such as a division by zero.") from None
        except (TypeError, OverflowError):
            raise BadExpression("These values cannot be calculated with each other.") from None


def as_json(value: Any) -> Any:
    if isinstance(value, Decimal):
        whole = value.to_integral_value()
        return int(whole) if whole == value and abs(whole) < 2**53 else format(value, "f")
    if isinstance(value, datetime | date):
        return value.isoformat()
    return value


def _check(tree: ast.expr) -> None:
    match tree:
        case ast.Constant(value) if isinstance(value, str | int | float) and not isinstance(value, bool):
            return
        case ast.Name() | ast.Attribute():
            _path(tree)
        case ast.BinOp(left, kind, right) if type(kind) in _BINARY:
            _check(left)
            _check(right)
        case ast.UnaryOp(ast.USub(), operand):
            _check(operand)
        case ast.Call(ast.Name(name), arguments, []) if name in FUNCTIONS:
            low, high = FUNCTIONS[name]
            if not low <= len(arguments) <= high:
                raise BadExpression(f"{name} takes {low} to {high} values.")
            for argument in arguments:
                _check(argument)
        case _:
            raise BadExpression(
                "Only record fields, numbers, texts, + - * / and the functions "
                f"{', '.join(FUNCTIONS)} are allowed."
            )


def _path(tree: ast.expr) -> str:
    names: list[str] = []
    while isinstance(tree, ast.Attribute):
        names.append(tree.attr)
        tree = tree.value
    if not isinstance(tree, ast.Name) or tree.id not in ROOTS or not names:
        raise BadExpression(f"A name begins with one of: {', '.join(ROOTS)}.")
    return ".".join([tree.id, *reversed(names)])


def _value(tree: ast.expr, lookup: Callable[[str], Any], now: datetime, today: date) -> Any:
    match tree:
        case ast.Constant(value):
            return value if isinstance(value, str) else Decimal(str(value))
        case ast.Name() | ast.Attribute():
            return _typed(lookup(_path(tree)))
        case ast.UnaryOp(_, operand):
            inner = _value(operand, lookup, now, today)
            return None if inner is None else -inner
        case ast.BinOp(left, kind, right):
            sides = [_value(side, lookup, now, today) for side in (left, right)]
            return None if None in sides else _BINARY[type(kind)](*sides)
        case ast.Call(ast.Name(name), arguments):
            return _call(name, [_value(item, lookup, now, today) for item in arguments], now, today)
    raise BadExpression("This is no expression.")


def _call(name: str, values: list[Any], now: datetime, today: date) -> Any:
    if name == "coalesce":
        return next((value for value in values if value not in (None, "")), None)
    if name == "today":
        return today
    if name == "now":
        return now
    if None in values:
        return None
    if name in ("days", "hours"):
        return timedelta(**{name: float(values[0])})
    if name == "round":
        return round(values[0], int(values[1]) if len(values) > 1 else 0)
    if name in ("lower", "upper"):
        return getattr(str(values[0]), name)()
    return {"min": min, "max": max}[name](values)


def _typed(value: Any) -> Any:
    """A value of a document as one to calculate with: texts that are numbers, dates or times become such."""
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int | float | Decimal):
        return Decimal(str(value))
    if isinstance(value, str):
        try:
            return date.fromisoformat(value) if len(value) == 10 else datetime.fromisoformat(value)
        except ValueError:
            pass
        try:
            number = Decimal(value)
            return number if number.is_finite() else value
        except InvalidOperation:
            return value
    return value
