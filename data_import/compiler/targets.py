"""What is done with the columns of a file: settings, headers and the entity's fields, brought together and checked."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from core.access import EntityView
from core.entities import Field
from core.entities.codes import COUNTRY_NAMES, CURRENCY_CODES
from core.entities.kinds import Kind
from core.kernel.errors import Fault, Invalid
from data_import.compiler.verdicts import READABLE
from data_import.engine.transforms import Chain, RuleFaults, build_chain
from data_import.models import ImportMode
from data_import.schemas import ImportSettings, ValidationRule

# A person's whole name may be given where an entity keeps its parts.
FULL_NAME = "full_name"
NAME_PARTS = {"first_name": "first", "last_name": "last"}
CHOICE_LIMIT = 200

_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_NUMBERS = (Kind.INTEGER, Kind.DECIMAL, Kind.MONEY)
# Kinds of which a whole column is looked at before it is read.
DECIDED = frozenset({Kind.DATE, Kind.DATETIME, Kind.BOOLEAN, *_NUMBERS})


@dataclass(frozen=True)
class Pattern:
    """A default: texts, and between them the places (from 1) of columns whose cells come there."""

    parts: tuple[str | int, ...]

    @property
    def is_constant(self) -> bool:
        return all(isinstance(part, str) for part in self.parts)


@dataclass(frozen=True)
class PlannedField:
    """One field to be filled. Places count from 1."""

    field: Field
    place: int
    # Where its cells stand in the raw record; none when only a default fills it.
    columns: tuple[int, ...]
    header: str
    chain: Chain
    default: Pattern | None = None
    required: bool = False
    rules: tuple[ValidationRule, ...] = ()

    @property
    def is_reference(self) -> bool:
        return self.field.is_relation


@dataclass(frozen=True)
class Plan:
    """Everything the statements are made from."""

    view: EntityView
    headers: tuple[str, ...]
    targets: tuple[PlannedField, ...]
    mode: str
    match_on: PlannedField | None
    timezone: str

    @property
    def self_references(self) -> tuple[PlannedField, ...]:
        return tuple(target for target in self.targets if self.refers_to_itself(target))

    def refers_to_itself(self, target: PlannedField) -> bool:
        return target.is_reference and target.field.to == self.view.entity.name

    def target(self, name: str) -> PlannedField | None:
        return next((target for target in self.targets if target.field.name == name), None)


class _Planner:
    def __init__(
        self, view: EntityView, settings: ImportSettings, headers: Sequence[str], decisions: Mapping[str, Any]
    ) -> None:
        self.view = view
        self.settings = settings
        self.options = settings.options
        self.headers = tuple(headers)
        self.places = {header: place for place, header in enumerate(headers, 1)}
        self.decisions = decisions
        self.faults: list[Fault] = []

    def refuse(self, path: str, code: str, detail: str) -> None:
        self.faults.append(Fault(path, code, detail))

    def sources(self) -> dict[str, list[str]]:
        """Field -> the columns it is filled from."""
        found: dict[str, list[str]] = {}
        for column, names in self.settings.field_mapping.items():
            if column not in self.places:
                self.refuse(
                    f"field_mapping.{column}", "unknown_column", f"The file has no column {column!r}."
                )
                continue
            for name in names:
                found.setdefault(name, []).append(column)
        if not found and not self.faults:
            self.refuse("field_mapping", "required", "No column is mapped to a field.")
        return found

    def targets(self) -> list[PlannedField]:
        sources = self.sources()
        if FULL_NAME in sources and FULL_NAME not in self.view.editable:
            columns = sources.pop(FULL_NAME)
            for part in NAME_PARTS:
                sources.setdefault(part, columns)
        for name in self.options.defaults:
            sources.setdefault(name, [])
        made: list[PlannedField] = []
        for name, columns in sources.items():
            field = self._field(name)
            if field is not None:
                made.append(self._target(field, columns, len(made) + 1))
        self._check_names(made)
        return made

    def _field(self, name: str) -> Field | None:
        path = f"field_mapping.{name}"
        field = self.view.fields.get(name)
        if field is None:
            self.refuse(path, "unknown_field", f"There is no field {name!r} to import into.")
            return None
        if field.read_only:
            self.refuse(path, "read_only", f"{name!r} is set by the system.")
        elif name not in self.view.editable:
            self.refuse(path, "not_editable", f"Your role may not change {name!r}.")
        elif field.kind not in READABLE:
            self.refuse(path, "not_supported", f"{name!r} cannot be filled from a file.")
        else:
            return field
        return None

    def _target(self, field: Field, columns: list[str], place: int) -> PlannedField:
        default = self.options.defaults.get(field.name)
        return PlannedField(
            field=field,
            place=place,
            columns=tuple(self.places[column] for column in columns),
            header=columns[0] if columns else "",
            chain=self._chain(field, columns),
            default=self._pattern(field.name, default) if default is not None else None,
            required=field.required or field.name in self.settings.required_fields,
            rules=tuple(rule for rule in self.settings.validation_rules if rule.field == field.name),
        )

    def _pattern(self, name: str, text: str) -> Pattern:
        parts: list[str | int] = []
        position = 0
        for match in _PLACEHOLDER.finditer(text):
            if match.start() > position:
                parts.append(text[position : match.start()])
            if match[1] not in self.places:
                self.refuse(
                    f"options.defaults.{name}", "unknown_column", f"The file has no column {match[1]!r}."
                )
            parts.append(self.places.get(match[1], 1))
            position = match.end()
        if position < len(text) or not parts:
            parts.append(text[position:])
        return Pattern(tuple(parts))

    # --- transforms -------------------------------------------------------------------------------------------------

    def _chain(self, field: Field, columns: list[str]) -> Chain:
        own = [rule for rule in self.settings.transformation_rules if rule.get("field") == field.name]
        rules: list[dict[str, Any]] = []
        if len(columns) > 1 and not (own and own[0].get("transform") == "join"):
            rules.append({"transform": "join"})
        if field.type.is_text and field.kind not in (Kind.CHOICE, Kind.COUNTRY, Kind.CURRENCY):
            rules.append({"transform": "unescape_formula"})
        words = [word for key in (field.name, *columns) for word in self.options.null_words.get(key, ())]
        if words:
            rules.append({"transform": "null_words", "words": words})
        for key in (field.name, *columns):
            other_words = self.options.value_maps.get(key)
            if other_words:
                rules.append(_translation(other_words))
                break
        rules += own
        if FULL_NAME in self.settings.field_mapping_targets and field.name in NAME_PARTS and not own:
            rules.append({"transform": "split_name", "part": NAME_PARTS[field.name]})
        rules += self._reading(field, columns, rules)
        if own and own[0].get("transform") == "join":
            rules.remove(own[0])
            rules.insert(0, own[0])
        try:
            return build_chain(rules, path=f"transformation_rules.{field.name}")
        except RuleFaults as bad:
            self.faults += [Fault(fault.path, fault.code, fault.detail) for fault in bad.faults]
            return Chain(())

    def _reading(self, field: Field, columns: list[str], rules: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The step that reads the field's kind from a text, unless the template does it itself."""
        given = {str(rule.get("transform")) for rule in rules}
        column = columns[0] if columns else ""
        decided = self.decisions.get(column, {})
        if field.kind in (Kind.DATE, Kind.DATETIME) and not given & {"parse_date", "parse_datetime"}:
            formats = self.options.date_formats.get(column) or decided.get("date_formats")
            fallback = ["YYYY-MM-DD", "YYYY-MM-DDTHH:mm:ss", "YYYY-MM-DDTHH:mm:ssZ"]
            step = "parse_date" if field.kind is Kind.DATE else "parse_datetime"
            return [{"transform": step, "formats": list(formats or fallback)}]
        if field.kind in _NUMBERS and "parse_number" not in given:
            chosen = self.options.number_formats.get(column)
            signs = (
                chosen.model_dump()
                if chosen
                else decided.get("number_format") or {"decimal": ".", "grouping": ""}
            )
            return [{"transform": "parse_number", **signs}]
        if field.kind is Kind.BOOLEAN and "parse_boolean" not in given:
            return [{"transform": "parse_boolean", **(decided.get("boolean_words") or {})}]
        if field.kind is Kind.CHOICE:
            return _mapped(
                {label: value for value, label in field.choices} | {v: v for v in field.choice_values}
            )
        if field.kind is Kind.COUNTRY:
            return _mapped(
                {name: code for code, name in COUNTRY_NAMES.items()} | {c: c for c in COUNTRY_NAMES}
            )
        if field.kind is Kind.CURRENCY:
            return _mapped({code: code for code in CURRENCY_CODES})
        return []

    # --- the whole ---------------------------------------------------------------------------------------------------

    def _check_names(self, made: Iterable[PlannedField]) -> None:
        names = {target.field.name for target in made}
        for kind in ("required_fields",):
            for name in getattr(self.settings, kind):
                if name not in names and name != FULL_NAME:
                    self.refuse(
                        f"{kind}.{name}", "not_mapped", f"{name!r} is required, but no column goes there."
                    )
        for name in [rule.field for rule in self.settings.validation_rules]:
            if name not in names:
                self.refuse(f"validation_rules.{name}", "not_mapped", f"No column goes to {name!r}.")
        for rule in self.settings.transformation_rules:
            if rule.get("field") not in names:
                self.refuse("transformation_rules", "not_mapped", f"No column goes to {rule.get('field')!r}.")
        if self.settings.mode != ImportMode.UPDATE:
            for name in self.view.access.required:
                if name not in names:
                    self.refuse(
                        f"field_mapping.{name}",
                        "required",
                        f"{name!r} is required, but no column goes there.",
                    )

    def match(self, made: Sequence[PlannedField]) -> PlannedField | None:
        name = self.settings.match_on
        if self.settings.mode == ImportMode.CREATE:
            if name:
                self.refuse("match_on", "not_together", "Mode create matches nothing.")
            return None
        if not name:
            name = next((item for item in ("external_id",) if any(t.field.name == item for t in made)), "")
        if not name:
            self.refuse("match_on", "required", "Say by which field a row matches a record.")
            return None
        found = next((target for target in made if target.field.name == name), None)
        if found is None:
            self.refuse("match_on", "not_mapped", f"No column goes to {name!r}.")
        elif not (found.field.key or found.field.unique or found.field.kind is Kind.EMAIL):
            self.refuse("match_on", "not_a_key", f"{name!r} does not identify a record.")
        return found


def _translation(words: Mapping[str, str]) -> dict[str, Any]:
    """A value map as a transform; its `*` says what every other value becomes (nothing, when that is blank)."""
    named = {value: to for value, to in words.items() if value != "*"}
    if "*" not in words:
        return {"transform": "map_values", "mapping": named}
    if words["*"] == "":
        return {"transform": "map_values", "mapping": named, "unmapped": "null"}
    raise Invalid(
        faults=[Fault("options.value_maps", "invalid", "The word for every other value can only be blank.")]
    )


def _mapped(mapping: dict[str, str]) -> list[dict[str, Any]]:
    """Values and labels, compared without case; what is neither stays and is refused by its check."""
    found: dict[str, str] = {}
    for key, value in mapping.items():
        folded = key.strip().lower()
        # A value counts more than a label of another value.
        if folded:
            found[folded] = value
    return [{"transform": "map_values", "mapping": found}] if found else []


def make_plan(
    view: EntityView,
    settings: ImportSettings,
    headers: Sequence[str],
    decisions: Mapping[str, Any],
    timezone: str,
) -> Plan:
    """Check settings against a file's headers and the fields that the actor may fill.

    Raises: Invalid with every fault.
    """
    planner = _Planner(view, settings, headers, decisions)
    made = planner.targets()
    match = planner.match(made)
    if planner.faults:
        raise Invalid("The file cannot be imported like this.", faults=planner.faults)
    return Plan(
        view, tuple(headers), tuple(made), settings.mode, match, settings.options.timezone or timezone
    )
