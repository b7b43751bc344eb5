"""Changes of the log as an actor sees them: without what is hidden, through the masks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from core.access.view import EntityView
from core.entities import CUSTOM_FIELDS

Values = Mapping[str, Any] | None


def visible_values(seen: EntityView, values: Values) -> dict[str, Any]:
    """Old or new values of a change, by the names of fields; the company's own each by itself.

    Values are as the log holds them, that is as JSON; masked ones are texts.
    """
    return {name: seen.access.show(name, value) for name, value in _by_field(values) if name in seen.fields}


def visible_changes(
    seen: EntityView, changed: Iterable[str], old: Values, new: Values
) -> dict[str, tuple[Any, Any]]:
    """The values before and after of each changed field that the actor sees.

    A masked field is there although both values may look the same.
    """
    before, after = dict(_by_field(old)), dict(_by_field(new))
    names: list[str] = []
    for name in changed:
        if name == CUSTOM_FIELDS:
            own = [key for key in {**before, **after} if key.startswith(f"{CUSTOM_FIELDS}.")]
            names += [key for key in own if before.get(key) != after.get(key)]
        else:
            names.append(name)
    show = seen.access.show
    return {
        name: (show(name, before.get(name)), show(name, after.get(name)))
        for name in names
        if name in seen.fields
    }


def _by_field(values: Values) -> Iterable[tuple[str, Any]]:
    for name, value in (values or {}).items():
        if name == CUSTOM_FIELDS:
            yield from ((f"{CUSTOM_FIELDS}.{key}", inner) for key, inner in (value or {}).items())
        else:
            yield name, value
