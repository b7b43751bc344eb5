"""The shape of a condition: a JSON tree read into frozen nodes, every fault kept with its path.

Words: a *leaf* compares one field, `and`, `or` and `not` are *groups*. Which fields exist and what they
hold is the compiler's business; this module knows neither Django nor the registry.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from core.conditions.operators import OPERATORS
from core.kernel.errors import Fault

# Leaves and groups of one condition, counted together.
MAX_NODES = 50
# Groups around a leaf.
MAX_DEPTH = 5
# Relations a dotted field passes.
MAX_RELATIONS = 3
# Values of one `in`.
MAX_VALUES = 1_000
# Characters of a text that is looked for, and of a pattern.
MAX_TEXT = 1_000
MAX_PATTERN = 500

LEAF_KEYS = ("field", "operator", "value")
GROUP_KEYS = ("and", "or", "not")

L = TypeVar("L")


@dataclass(frozen=True, slots=True)
class Leaf:
    """A comparison as it was sent; `path` is where in the document."""

    path: str
    field: str
    operator: str
    value: Any


@dataclass(frozen=True, slots=True)
class Every(Generic[L]):
    """`and`"""

    parts: tuple[L | Every[L] | Some[L] | Not[L], ...]


@dataclass(frozen=True, slots=True)
class Some(Generic[L]):
    """`or`"""

    parts: tuple[L | Every[L] | Some[L] | Not[L], ...]


@dataclass(frozen=True, slots=True)
class Not(Generic[L]):
    part: L | Every[L] | Some[L] | Not[L]


def below(path: str, name: str | int) -> str:
    return f"{path}.{name}" if path else str(name)


class _Reader:
    def __init__(self) -> None:
        self.faults: list[Fault] = []
        self.count = 0

    def fault(self, path: str, code: str, detail: str) -> None:
        self.faults.append(Fault(path, code, detail))

    def node(
        self, document: Any, path: str, depth: int
    ) -> Leaf | Every[Leaf] | Some[Leaf] | Not[Leaf] | None:
        self.count += 1
        if self.count == MAX_NODES + 1:
            self.fault(path, "too_many_nodes", f"At most {MAX_NODES} comparisons and groups are allowed.")
        if self.count > MAX_NODES:
            return None
        if not isinstance(document, Mapping):
            self.fault(
                path,
                "not_a_condition",
                "An object with and, or, not, or with field and operator is expected.",
            )
            return None
        groups = [name for name in GROUP_KEYS if name in document]
        if not groups:
            return self.leaf(document, path)
        if len(document) > 1:
            self.fault(path, "not_a_condition", "A group has exactly one key: and, or, not.")
            return None
        if depth == MAX_DEPTH:
            self.fault(path, "too_deep", f"At most {MAX_DEPTH} groups inside each other are allowed.")
            return None
        return self.group(groups[0], document[groups[0]], below(path, groups[0]), depth + 1)

    def group(
        self, name: str, inside: Any, path: str, depth: int
    ) -> Every[Leaf] | Some[Leaf] | Not[Leaf] | None:
        if name == "not":
            part = self.node(inside, path, depth)
            return None if part is None else Not(part)
        if not isinstance(inside, list):
            self.fault(path, "not_a_list", "A list of conditions is expected.")
            return None
        if not inside:
            self.fault(path, "empty_group", "At least one condition is expected.")
            return None
        parts = []
        for place, item in enumerate(inside):
            if self.count > MAX_NODES:
                break
            part = self.node(item, below(path, place), depth)
            if part is not None:
                parts.append(part)
        return Every(tuple(parts)) if name == "and" else Some(tuple(parts))

    def leaf(self, document: Mapping[Any, Any], path: str) -> Leaf | None:
        before = len(self.faults)
        for name in document:
            if name not in LEAF_KEYS:
                self.fault(below(path, str(name)), "unknown_key", f"Expected are {', '.join(LEAF_KEYS)}.")
        for name in ("field", "operator"):
            if name not in document:
                self.fault(below(path, name), "required", "This is required.")
            elif not isinstance(document[name], str):
                self.fault(below(path, name), "not_text", "A text is expected.")
        if len(self.faults) > before:
            return None
        operator = OPERATORS.get(document["operator"])
        if operator is not None and operator.takes_value and "value" not in document:
            self.fault(below(path, "value"), "required", f"{operator.name} needs a value.")
            return None
        return Leaf(path, document["field"], document["operator"], document.get("value"))


def read(document: Any) -> tuple[Leaf | Every[Leaf] | Some[Leaf] | Not[Leaf] | None, list[Fault]]:
    """The tree of a document, and what is wrong with its shape. What could be read is returned beside the
    faults, so that its leaves can be checked too.
    """
    reader = _Reader()
    return reader.node(document, "", 0), reader.faults


def json_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of the language. Fields are named by the entity at hand and so are plain texts
    here.
    """
    any_value = {"type": ["string", "number", "boolean", "null"]}
    comparisons = [
        {
            "title": operator.name,
            "description": operator.summary,
            "type": "object",
            "properties": {
                "field": {"type": "string", "minLength": 1},
                "operator": {"const": operator.name},
                "value": operator.operand.schema(any_value, MAX_VALUES, MAX_TEXT, MAX_PATTERN),
            },
            "required": ["field", "operator", *(["value"] if operator.takes_value else [])],
            "additionalProperties": False,
        }
        for operator in OPERATORS.values()
    ]
    group = {"type": "array", "items": {"$ref": "#/$defs/condition"}, "minItems": 1, "maxItems": MAX_NODES}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Condition",
        "description": f"At most {MAX_NODES} comparisons and groups, {MAX_DEPTH} groups deep.",
        "$ref": "#/$defs/condition",
        "$defs": {
            "condition": {"oneOf": [{"$ref": f"#/$defs/{name}"} for name in (*GROUP_KEYS, "comparison")]},
            "and": _group_schema("and", group),
            "or": _group_schema("or", group),
            "not": _group_schema("not", {"$ref": "#/$defs/condition"}),
            "comparison": {"oneOf": comparisons},
        },
    }


def _group_schema(name: str, inside: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": {name: inside}, "required": [name], "additionalProperties": False}
