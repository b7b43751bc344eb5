"""Formulas over measures, such as `won / total`: read by Python's parser, walked node by node, everything else refused."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal, DivisionByZero, InvalidOperation, Overflow, localcontext
from typing import Any

MAX_NODES = 60

_BINARY: Mapping[type, Callable[[Decimal, Decimal], Decimal]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}


class BadFormula(ValueError):
    """A formula that cannot be read."""


def read(text: str) -> ast.expr:
    """The parsed formula. Raises: BadFormula."""
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise BadFormula("This is no formula.") from None
    if sum(1 for _ in ast.walk(tree)) > MAX_NODES:
        raise BadFormula("The formula is too long.")
    _check(tree)
    return tree


def names_of(tree: ast.expr) -> Iterator[str]:
    """The measures that the formula names."""
    return (node.id for node in ast.walk(tree) if isinstance(node, ast.Name))


def evaluate(tree: ast.expr, values: Mapping[str, Any]) -> Decimal | None:
    """The value; null where a part is null or the formula has no result, such as a division by zero."""
    with localcontext() as context:
        context.prec = 28
        try:
            return _value(tree, values)
        except (InvalidOperation, DivisionByZero, Overflow):
            return None


def _check(tree: ast.expr) -> None:
    match tree:
        case ast.Name():
            return
        case ast.Constant(value) if isinstance(value, int | float) and not isinstance(value, bool):
            return
        case ast.BinOp(left, kind, right) if type(kind) in _BINARY:
            _check(left)
            _check(right)
        case ast.UnaryOp(ast.USub(), operand):
            _check(operand)
        case _:
            raise BadFormula("Only names of measures, numbers, + - * / and brackets are allowed.")


def _value(tree: ast.expr, values: Mapping[str, Any]) -> Decimal | None:
    match tree:
        case ast.Name(name):
            found = values[name]
            return None if found is None else Decimal(str(found))
        case ast.Constant(value):
            return Decimal(str(value))
        case ast.UnaryOp(_, operand):
            inner = _value(operand, values)
            return None if inner is None else -inner
        case ast.BinOp(left, kind, right):
            first, second = _value(left, values), _value(right, values)
            return None if first is None or second is None else _BINARY[type(kind)](first, second)
    raise BadFormula("This is no formula.")
