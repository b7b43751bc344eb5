"""Changes as people read them: names of fields and records, and which words of a text are others."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any
from uuid import UUID

from django.utils.html import format_html, format_html_join

from audit.documents import FieldChange
from audit.reading import LogReader
from core.access import EntityView
from core.backoffice.history import id_of, shown_value
from core.backoffice.values import NOTHING, names_of
from core.entities import entities
from core.entities.kinds import Kind

_TEXTS = frozenset({Kind.TEXT, Kind.LONG_TEXT})
_WORDS = re.compile(r"\s+|[^\w\s]|\w+")
# Longer texts are shown whole: comparing them would take longer than reading them.
MOST_COMPARED = 4_000
Names = Mapping[str, dict[UUID, str]]


@dataclass(frozen=True)
class DiffLine:
    """One field before and after, as HTML. Empty: there was nothing."""

    field: str
    label: str
    old: str
    new: str
    is_changed: bool = True


def diff_lines(reader: LogReader, kind: str, changes: Sequence[FieldChange]) -> list[DiffLine]:
    """Changes of one record, with names for the records they speak of."""
    seen = reader.view_of(kind)
    names = _names(reader, seen, [(item.field, value) for item in changes for value in (item.old, item.new)])
    return [_line(seen, names, item) for item in changes]


def state_lines(
    reader: LogReader, kind: str, then: Mapping[str, Any], now: Mapping[str, Any]
) -> list[DiffLine]:
    """A record as it stood beside what it is today: every field that says something in either."""
    fields = [name for name in dict.fromkeys([*then, *now]) if not _is_empty(then.get(name), now.get(name))]
    changes = [
        FieldChange(field=name, label=reader.label(kind, name), old=then.get(name), new=now.get(name))
        for name in fields
    ]
    return diff_lines(reader, kind, changes)


def detail_lines(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What a fact that is no change of a record says of itself."""
    return [(name.replace("_", " ").capitalize(), _plain(value)) for name, value in values.items()]


def _is_empty(*values: Any) -> bool:
    return all(value in (None, "", [], {}) for value in values)


def _names(reader: LogReader, seen: EntityView | None, values: Sequence[tuple[str, Any]]) -> Names:
    asked: dict[str, set[UUID]] = defaultdict(set)
    for name, value in values:
        field = seen.fields.get(name) if seen is not None else None
        if field is not None and field.is_relation:
            record_id = id_of(field, value)
            if record_id is not None:
                asked[field.to].add(record_id)
    return {target: names_of(reader.actor, entities[target], ids) for target, ids in asked.items()}


def _line(seen: EntityView | None, names: Names, change: FieldChange) -> DiffLine:
    field = seen.fields.get(change.field) if seen is not None else None
    is_changed = change.old != change.new
    if field is None or field.kind in _TEXTS:
        old, new = _marked(_plain(change.old), _plain(change.new))
    else:
        known = {field.to: names.get(field.to, {})} if field.is_relation else {}
        old, new = shown_value(field, change.old, known), shown_value(field, change.new, known)
        if is_changed:
            old = format_html("<del>{}</del>", old) if old != NOTHING else old
            new = format_html("<ins>{}</ins>", new) if new != NOTHING else new
    return DiffLine(change.field, change.label, old or NOTHING, new or NOTHING, is_changed)


def _plain(value: Any) -> str:
    if value in (None, "", [], {}):
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _marked(old: str, new: str) -> tuple[str, str]:
    """Both texts, with the words marked that are not in the other."""
    if old == new or max(len(old), len(new)) > MOST_COMPARED:
        return format_html("{}", old), format_html("{}", new)
    before, after = _WORDS.findall(old), _WORDS.findall(new)
    left: list[str] = []
    right: list[str] = []
    for what, a, b, c, d in SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        was, becomes = "".join(before[a:b]), "".join(after[c:d])
        is_same = what == "equal"
        left.append(was if is_same or not was else format_html("<del>{}</del>", was))
        right.append(becomes if is_same or not becomes else format_html("<ins>{}</ins>", becomes))
    return _joined(left), _joined(right)


def _joined(pieces: Sequence[str]) -> str:
    return format_html_join("", "{}", ((piece,) for piece in pieces))
