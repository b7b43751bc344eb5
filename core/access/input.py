"""A client's document as values of fields: what may be set, typed, with every fault reported at once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID

from core.access.visibility import sees_everything
from core.changes.rows import EXPECTED_VERSION
from core.entities import CUSTOM_FIELDS, Field, entities
from core.entities.kinds import BadValue, Kind
from core.kernel.errors import NOT_EDITABLE, Fault, as_object, refused_input

if TYPE_CHECKING:
    from core.access.view import EntityView


class InputReader:
    """Reads documents for the actor of a view. `operation` is "create" or "update"."""

    def __init__(self, view: EntityView, operation: str) -> None:
        self.view = view
        self.access = view.access
        self.operation = operation
        self.faults: list[Fault] = []

    def read(self, document: Any, *, partial: bool, comes_later: str) -> dict[str, Any]:
        """See `EntityView.read_input`."""
        values: dict[str, Any] = {}
        document = as_object(document)
        for name, sent in document.items():
            try:
                if name == "version" and self.operation == "update":
                    values[EXPECTED_VERSION] = _expected_version(sent)
                elif name == CUSTOM_FIELDS and self.view.entity.takes_custom_fields:
                    self._read_custom(sent, values)
                elif "." in name:
                    raise _unknown()
                else:
                    values[name] = self._read(name, sent)
            except BadValue as bad:
                self.faults.append(Fault(str(name), bad.code, bad.detail))
        if not partial:
            self._refuse_missing(document, comes_later)
        if self.operation == "create":
            self._default_custom(values)
        if not self.faults:
            self._refuse_unseen_references(values)
        if self.faults:
            raise refused_input(faults=self.faults)
        return self._gathered(values)

    def defaults(self, values: Mapping[str, Any], kept: Collection[str]) -> dict[str, Any]:
        """See `EntityView.defaults`."""
        given = {*values, *kept, *(f"{CUSTOM_FIELDS}.{key}" for key in values.get(CUSTOM_FIELDS, ()))}
        found = {name: _default(field) for name, field in self.access.editable.items() if name not in given}
        gathered = self._gathered(found)
        if CUSTOM_FIELDS in gathered:
            gathered[CUSTOM_FIELDS] |= values.get(CUSTOM_FIELDS, {})
        return gathered

    def _read(self, name: str, sent: Any) -> Any:
        field = self.access.editable.get(name)
        if field is None:
            raise self._not_settable(name)
        if sent is None:
            if field.nullable and not (field.custom_key and field.required):
                return None
            raise BadValue("null", "This field cannot be null.")
        value = field.type.from_json(field, sent)
        if field.required and isinstance(value, str) and not value.strip():
            raise BadValue("required", "This field cannot be blank.")
        return value

    def _read_custom(self, sent: Any, values: dict[str, Any]) -> None:
        """Raises: BadValue when there is no object."""
        if not isinstance(sent, Mapping):
            raise BadValue("not_an_object", "An object of the company's own fields is expected.")
        for key, value in sent.items():
            name = f"{CUSTOM_FIELDS}.{key}"
            try:
                values[name] = self._read(name, value)
            except BadValue as bad:
                self.faults.append(Fault(name, bad.code, bad.detail))

    def _not_settable(self, name: str) -> BadValue:
        field = self.access.fields.get(name)
        if field is None:
            return _unknown()
        if field.read_only:
            return BadValue("read_only", "This field is set by the system.")
        return BadValue(NOT_EDITABLE, "Your role may not change this field.")

    def _refuse_missing(self, document: Mapping[str, Any], comes_later: str) -> None:
        custom = document.get(CUSTOM_FIELDS)
        given = {*document}
        if isinstance(custom, Mapping):
            given |= {f"{CUSTOM_FIELDS}.{key}" for key in custom}
        self.faults += [
            Fault(name, "required", "This field is required.")
            for name in self.access.required
            if name not in given and name != comes_later
        ]

    def _default_custom(self, values: dict[str, Any]) -> None:
        """What the table does for columns that are not sent."""
        for name, field in self.access.askable.items():
            if field.custom_key and field.default is not None:
                values.setdefault(name, field.default)

    def _refuse_unseen_references(self, values: Mapping[str, Any]) -> None:
        """References to records the actor does not see. Those of columns are checked once more where they are written, so one
        who sees everything need not be asked; nothing else checks a company's own."""
        relations = {
            name: target for name, target in self.access.relations.items() if values.get(name) is not None
        }
        if not relations:
            return
        asked: dict[str, set[UUID]] = defaultdict(set)
        for name, target in relations.items():
            is_custom = bool(self.access.fields[name].custom_key)
            if is_custom or not sees_everything(entities[target], self.view.actor):
                asked[target].add(values[name])
        seen = {
            target: set(
                type(self.view)(entities[target], self.view.actor)
                .records()
                .filter(pk__in=ids)
                .values_list("pk", flat=True)
            )
            for target, ids in asked.items()
        }
        self.faults += [
            Fault(name, "does_not_exist", "There is no such record.")
            for name, target in relations.items()
            if target in seen and values[name] not in seen[target]
        ]

    def _gathered(self, values: dict[str, Any]) -> dict[str, Any]:
        """The values with the company's own fields as one object, which an update merges into the stored one: null removes."""
        custom = {name: value for name, value in values.items() if name.startswith(f"{CUSTOM_FIELDS}.")}
        if not custom:
            return values
        keyed = {
            name.removeprefix(f"{CUSTOM_FIELDS}."): value
            for name, value in custom.items()
            if value is not None or self.operation == "update"
        }
        return {name: value for name, value in values.items() if name not in custom} | {CUSTOM_FIELDS: keyed}


def _unknown() -> BadValue:
    return BadValue("unknown_field", "There is no such field.")


def _expected_version(sent: Any) -> int:
    # 3.0 is a whole number to JSON.
    if isinstance(sent, bool) or not isinstance(sent, int | Decimal) or not 0 < sent < 2**31 or sent % 1:
        raise BadValue("not_an_integer", "The version you read, a whole number, is expected.")
    return int(sent)


def _default(field: Field) -> Any:
    if field.default is not None:
        return field.default
    if field.nullable:
        return None
    if field.kind is Kind.TAGS:
        return []
    if field.kind is Kind.JSON:
        return {}
    return "" if field.type.is_text else None
