"""Whether transforms and validation rules can ever work on their fields, checked when they are saved."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

import re2

from core.access import EntityView
from core.entities import Field
from core.entities.kinds import Kind
from core.kernel.errors import Fault, Invalid
from data_import.engine.transforms import RuleFaults, build_chain
from data_import.schemas import ImportSettings, ValidationRule

_NUMBERS = frozenset({Kind.INTEGER, Kind.DECIMAL, Kind.MONEY})
_TEXTS = frozenset({Kind.TEXT, Kind.LONG_TEXT, Kind.EMAIL, Kind.PHONE, Kind.URL})
_WORDS = _TEXTS | {Kind.CHOICE, Kind.COUNTRY, Kind.CURRENCY}
# What a rule may be asked of; rules that are not here fit every field.
_RULE_KINDS: dict[str, frozenset[Kind]] = {
    "length": _WORDS,
    "regex": _WORDS,
    "range": _NUMBERS,
    "one_of": _WORDS | _NUMBERS,
    "email": _TEXTS,
    "url": _TEXTS,
}
# What a rule is told by; no rule takes anything else.
_RULE_PARAMETERS: dict[str, tuple[str, ...]] = {
    "length": ("min", "max"),
    "range": ("min", "max"),
    "regex": ("pattern",),
    "one_of": ("values",),
}
_TRANSFORM_KINDS: dict[str, frozenset[Kind]] = {
    "parse_date": _WORDS | {Kind.DATE, Kind.DATETIME},
    "parse_datetime": _WORDS | {Kind.DATE, Kind.DATETIME},
    "parse_number": _WORDS | _NUMBERS,
    "parse_boolean": _WORDS | {Kind.BOOLEAN},
    "currency": _WORDS,
    "normalize_email": _TEXTS,
    "normalize_phone": _TEXTS,
    "normalize_url": _TEXTS,
    "lookup": frozenset({Kind.RELATION, Kind.PERSON}),
}


def check_rules(seen: EntityView, settings: ImportSettings) -> None:
    """Raises: Invalid with every fault: unknown fields, patterns that do not compile, rules that do not fit their field."""
    faults = [
        *_transform_faults(seen, settings),
        *(
            fault
            for place, rule in enumerate(settings.validation_rules)
            for fault in _rule_faults(seen, rule, f"validation_rules.{place}")
        ),
    ]
    if faults:
        raise Invalid(faults=faults)


def _unknown(path: str, name: Any) -> Fault:
    return Fault(f"{path}.field", "unknown_field", f"There is no field {name!r} to import into.")


def _misfit(path: str, what: str, field: Field) -> Fault:
    return Fault(
        path, "does_not_fit", f"{what!r} does not fit {field.label!r}, which is of kind {field.kind}."
    )


# --- transforms ------------------------------------------------------------------------------------------------------


def _transform_faults(seen: EntityView, settings: ImportSettings) -> Iterator[Fault]:
    chains: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for place, rule in enumerate(settings.transformation_rules):
        path = f"transformation_rules.{place}"
        name = rule.get("field")
        field = seen.fields.get(name) if isinstance(name, str) else None
        if field is None:
            yield _unknown(path, name)
            continue
        transform = rule.get("transform")
        kinds = _TRANSFORM_KINDS.get(transform) if isinstance(transform, str) else None
        if kinds is not None and field.kind not in kinds:
            yield _misfit(f"{path}.transform", str(transform), field)
        try:
            build_chain([rule], path="")
        except RuleFaults as bad:
            # The only rule of its chain is called 0 there.
            for fault in bad.faults:
                inner = fault.path.lstrip(".").removeprefix("0").lstrip(".")
                yield Fault(f"{path}.{inner}" if inner else path, fault.code, fault.detail)
            continue
        chains[field.name].append(rule)
    for name, rules in chains.items():
        try:
            build_chain(rules, path=f"transformation_rules.{name}")
        except RuleFaults as bad:
            yield from (Fault(fault.path, fault.code, fault.detail) for fault in bad.faults)


# --- validation rules ------------------------------------------------------------------------------------------------


def _rule_faults(seen: EntityView, rule: ValidationRule, path: str) -> Iterator[Fault]:
    field = seen.fields.get(rule.field)
    if field is None:
        yield _unknown(path, rule.field)
        return
    kinds = _RULE_KINDS.get(rule.rule)
    if kinds is not None and field.kind not in kinds:
        yield _misfit(f"{path}.rule", rule.rule, field)
    taken = _RULE_PARAMETERS.get(rule.rule, ())
    given = [name for name in ("min", "max", "pattern", "values") if getattr(rule, name) is not None]
    for name in given:
        if name not in taken:
            yield Fault(f"{path}.{name}", "not_together", f"The rule {rule.rule!r} does not take {name!r}.")
    if taken and not set(given) & set(taken):
        yield Fault(f"{path}.{taken[0]}", "required", f"The rule {rule.rule!r} needs {' or '.join(taken)}.")
    if rule.min is not None and rule.max is not None and rule.min > rule.max:
        yield Fault(f"{path}.max", "out_of_range", "The most cannot be less than the least.")
    if rule.rule == "length" and any(bound is not None and bound < 0 for bound in (rule.min, rule.max)):
        yield Fault(f"{path}.min", "out_of_range", "No text is shorter than nothing.")
    if rule.rule == "one_of" and rule.values == []:
        yield Fault(f"{path}.values", "required", "Name at least one value.")
    if rule.pattern is not None:
        yield from _pattern_faults(rule.pattern, f"{path}.pattern")


def _pattern_faults(pattern: str, path: str) -> Iterator[Fault]:
    options = re2.Options()
    options.max_mem = 1024 * 1024
    options.log_errors = False
    try:
        re2.compile(pattern, options)
    except re2.error as error:
        reason = error.args[0] if error.args else "it does not compile"
        text = reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)
        yield Fault(path, "bad_pattern", f"The regular expression is not usable: {text}.")
