"""The transforms by name, built from what a template says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from data_import.engine.transforms import contact, text, values
from data_import.engine.transforms.base import Text, Transform

_TRANSFORMS: dict[str, type[Transform]] = {
    transform.name: transform
    for transform in (
        text.Trim,
        text.CollapseSpaces,
        text.Lowercase,
        text.Uppercase,
        text.Titlecase,
        text.NullWords,
        text.MapValues,
        text.Default,
        text.Join,
        text.RegexReplace,
        text.UnescapeFormula,
        values.ParseDate,
        values.ParseDatetime,
        values.ParseNumber,
        values.ParseBoolean,
        values.Currency,
        contact.NormalizeEmail,
        contact.NormalizePhone,
        contact.NormalizeUrl,
        contact.SplitName,
        contact.Lookup,
    )
}

MAX_CHAIN = 20


@dataclass(frozen=True, slots=True)
class RuleFault:
    """One thing wrong in a list of rules; `path` leads to it (`transforms.2.formats.0`)."""

    path: str
    code: str
    detail: str


class RuleFaults(ValueError):
    """Everything that is wrong in what a template says."""

    def __init__(self, faults: Sequence[RuleFault]) -> None:
        super().__init__("; ".join(f"{fault.path}: {fault.detail}" for fault in faults))
        self.faults = tuple(faults)


@dataclass(frozen=True, slots=True)
class TransformDoc:
    """What the reference pages and the template editor show; `params` is a JSON schema."""

    name: str
    summary: str
    params: dict[str, Any]
    takes_many: bool
    has_sql: bool


def describe() -> list[TransformDoc]:
    """Every transform, by name."""
    return [
        TransformDoc(
            name=name,
            summary=transform.summary,
            params=transform.model_json_schema(),
            takes_many=transform.many,
            has_sql=transform.sql is not Transform.sql,
        )
        for name, transform in sorted(_TRANSFORMS.items())
    ]


def build(name: str, params: Mapping[str, Any] | None = None, *, path: str = "") -> Transform:
    """A transform with checked parameters. Raises `RuleFaults` with every fault and its path."""
    transform = _TRANSFORMS.get(name) if isinstance(name, str) else None
    if transform is None:
        known = ", ".join(sorted(_TRANSFORMS))
        fault = RuleFault(_under(path, "transform"), "unknown_transform", f"Known are: {known}.")
        raise RuleFaults([fault])
    try:
        # From JSON rules: lists become tuples, yet "1" never becomes 1.
        return transform.model_validate(_tuples(dict(params or {})))
    except ValidationError as error:
        raise RuleFaults(
            [
                RuleFault(
                    ".".join(filter(None, (path, *map(str, fault["loc"])))),
                    _code(fault["type"]),
                    fault["msg"].removeprefix("Value error, "),
                )
                for fault in error.errors(include_url=False, include_context=False, include_input=False)
            ]
        ) from error


def _code(kind: str) -> str:
    return {"extra_forbidden": "unknown_field", "missing": "required"}.get(kind, "invalid")


def _tuples(params: dict[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in params.items()}


def _under(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


@dataclass(frozen=True, slots=True)
class Chain:
    """Transforms one after the other; only the first may take several columns."""

    steps: tuple[Transform, ...]

    def apply(self, *values: Text) -> Text:
        """Raises `TransformError` of the first step that refuses the value."""
        if not self.steps:
            return values[0]
        value = self.steps[0].apply(*values)
        for step in self.steps[1:]:
            value = step.apply(value)
        return value

    def sql(self, *expressions: str) -> str | None:
        """The whole chain as one expression, or None. NULL means: no value, or ask `apply`."""
        partial = False
        for step in self.steps:
            # A blank filled in behind a value that SQL could not read would hide the value.
            if partial and step.fills_blanks:
                return None
            partial = partial or step.partial
            expression = step.sql(*expressions)
            if expression is None:
                return None
            expressions = (expression,)
        return expressions[0]

    @property
    def by_pipeline(self) -> bool:
        """Whether a step has to be run by the pipeline."""
        return any(step.by_pipeline for step in self.steps)


def build_chain(rules: Sequence[Any], *, path: str = "transforms") -> Chain:
    """A chain from `[{"transform": name, …parameters}]`. Raises `RuleFaults` with the faults of all rules."""
    faults: list[RuleFault] = []
    steps: list[Transform] = []
    if len(rules) > MAX_CHAIN:
        raise RuleFaults([RuleFault(path, "too_many", f"At most {MAX_CHAIN} transforms follow one another.")])
    for position, rule in enumerate(rules):
        here = f"{path}.{position}"
        if not isinstance(rule, Mapping):
            faults.append(RuleFault(here, "invalid", "A rule is an object."))
            continue
        params = {key: value for key, value in rule.items() if key not in {"transform", "field"}}
        try:
            step = build(rule.get("transform", ""), params, path=here)
        except RuleFaults as error:
            faults.extend(error.faults)
            continue
        if step.many and position:
            faults.append(RuleFault(here, "not_first", f"{step.name} takes several columns and comes first."))
        if steps and steps[-1].by_pipeline:
            faults.append(RuleFault(here, "not_last", "Nothing follows a lookup."))
        steps.append(step)
    if faults:
        raise RuleFaults(faults)
    return Chain(tuple(steps))
