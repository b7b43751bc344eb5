"""Templates that users write: `{{ record.field }}` and nothing else, so that no text can run anything.

A place names a path and perhaps what to show for nothing: `{{ record.account.name | default: "you" }}`. Values are put in
once and never read as templates again. A text that is one place alone has the value itself, with its type.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

# Every path a place may name begins with one of these words.
ROOTS = ("record", "old", "event", "steps", "trigger_record", "run")

_PLACE = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)
_INSIDE = re.compile(r'\s*([a-z_][\w]*(?:\.[\w-]+)*)\s*(?:\|\s*default:\s*"([^"]*)"\s*)?')

Lookup = Callable[[str], Any]


class BadTemplate(ValueError):
    """A place that is none."""


def paths_in(value: Any) -> Iterator[str]:
    """Every path that the texts of a JSON value name.

    Raises: BadTemplate.
    """
    if isinstance(value, str):
        for place in _PLACE.finditer(value):
            yield _read(place[1])[0]
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from paths_in(item)
    elif isinstance(value, list):
        for item in value:
            yield from paths_in(item)


def is_template(value: Any) -> bool:
    return isinstance(value, str) and _PLACE.search(value) is not None


def fill(value: Any, lookup: Lookup, *, as_html: bool = False) -> Any:
    """A JSON value with every place of its texts filled in. Raises: BadTemplate."""
    if isinstance(value, str):
        whole = _PLACE.fullmatch(value)
        if whole is not None and not as_html and value.count("{{") == 1:
            path, default = _read(whole[1])
            found = lookup(path)
            return default if found in (None, "") and default is not None else found
        return _PLACE.sub(lambda place: _shown(place[1], lookup, as_html), value)
    if isinstance(value, Mapping):
        return {name: fill(item, lookup, as_html=as_html) for name, item in value.items()}
    if isinstance(value, list):
        return [fill(item, lookup, as_html=as_html) for item in value]
    return value


def _read(inside: str) -> tuple[str, str | None]:
    found = _INSIDE.fullmatch(inside)
    if found is None:
        raise BadTemplate(f"{{{{{inside[:80]}}}}} is no place: write {{{{ record.field }}}}.")
    if found[1].partition(".")[0] not in ROOTS:
        raise BadTemplate(f"{found[1]!r} begins with none of: {', '.join(ROOTS)}.")
    return found[1], found[2]


def _shown(inside: str, lookup: Lookup, as_html: bool) -> str:
    path, default = _read(inside)
    found = lookup(path)
    text = default or "" if found in (None, "") else as_text(found)
    return html.escape(text) if as_html else text


def as_text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(as_text(item) for item in value)
    return str(value)
