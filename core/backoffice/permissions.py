"""Permissions as a table: kinds of records down, verbs across, and what goes beyond both."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from django import forms
from django.contrib.admin import site

from core.backoffice.forms import Read
from core.entities import ACTIONS, Action, Entity, Field, entities
from core.identity.rights import EVERYTHING, PERMISSION_WORDS
from core.tenancy.actors import VERBS, Actor


@dataclass(frozen=True)
class _Cell:
    word: str
    verb: str
    label: str
    is_held: bool


@dataclass
class _Group:
    """Rows of one section of the navigation: (kind of record, its cells, None where a verb means nothing)."""

    title: str
    rows: list[tuple[str, list[_Cell | None]]] = field(default_factory=list)


class PermissionMatrix(forms.Widget):
    """A checkbox for each word of permission; their words, separated by commas, are the value."""

    template_name = "backoffice/parts/permission_matrix.html"

    def value_from_datadict(self, data: Any, files: Any, name: str) -> str:
        sent = data.getlist(name) if hasattr(data, "getlist") else [data.get(name) or ""]
        # A program may send the words in one text, as the hidden copy of what was shown does.
        return ", ".join(dict.fromkeys(_words(",".join(sent))))

    def value_omitted_from_data(self, data: Any, files: Any, name: str) -> bool:
        # Browsers do not send boxes that are not ticked.
        return False

    def id_for_label(self, id_: str | None, index: Any = None) -> str:
        # The label names the table; each box has its own.
        return ""

    def get_context(self, name: str, value: Any, attrs: dict[str, Any] | None) -> dict[str, Any]:
        context = super().get_context(name, value, attrs)
        held = set(_words(value or ""))
        groups = list(_groups(held))
        shown = {
            cell.word for group in groups for _, cells in group.rows for cell in cells if cell is not None
        }
        beyond = [
            (word, PERMISSION_WORDS[word], word in held)
            for word in sorted(PERMISSION_WORDS.names(), key=lambda word: word != EVERYTHING)
            if word not in VERBS
        ]
        beyond += [(action.word, _only(action), action.word in held) for action in ACTIONS]
        shown |= {word for word, *_ in beyond}
        beyond += [(word, word, True) for word in sorted(held - shown)]
        context["widget"] |= {
            "verbs": [verb.capitalize() for verb in VERBS],
            "groups": groups,
            "beyond": beyond,
            "everything": EVERYTHING,
        }
        return context


def _only(action: Action) -> str:
    noun = entities[action.entity].noun_plural
    return f"{action.label} {noun}, for those who may not {action.verb} them"


class PermissionField(Read):
    """Permissions, which are the same in whatever order."""

    def has_changed(self, initial: Any, data: Any) -> bool:
        return set(_words(initial or "")) != set(_words(data or ""))


def permission_control(described: Field, actor: Actor) -> forms.Field:
    """The control of a role's permissions."""
    return PermissionField(
        label=described.label,
        help_text="A tick in the first line is for every kind of record, those to come included.",
        required=False,
        show_hidden_initial=True,
        widget=PermissionMatrix(),
    )


def _words(text: str) -> Iterator[str]:
    return (word for part in text.split(",") if (word := part.strip()))


def _groups(held: set[str]) -> Iterator[_Group]:
    yield _Group(
        "",
        [
            (
                "Every kind of record",
                [
                    _Cell(verb, verb, f"{verb.capitalize()} every kind of record", verb in held)
                    for verb in VERBS
                ],
            )
        ],
    )
    sections: dict[str, _Group] = {}
    for _, _, title, entity in sorted(_placed()):
        group = sections.setdefault(title, _Group(title))
        group.rows.append((entity.label_plural, list(_cells(entity, held))))
    yield from sections.values()


def _placed() -> Iterable[tuple[int, tuple[int, str], str, Entity]]:
    """Every kind of record where the navigation has it."""
    sections: tuple[str, ...] = site.sections  # type: ignore[attr-defined]
    for entity in entities:
        admin = site.admin_for(entity)  # type: ignore[attr-defined]
        if admin is not None:
            place = (admin.position, entity.label_plural)
            yield sections.index(admin.section), place, admin.section, entity


def _cells(entity: Entity, held: set[str]) -> Iterator[_Cell | None]:
    operations = {
        "create": entity.writes.create,
        "update": entity.writes.update,
        "delete": entity.writes.delete,
    }
    for verb in VERBS:
        word = f"{verb}:{entity.name}"
        if operations.get(verb, True) is None and word not in held:
            yield None
        else:
            yield _Cell(word, verb, f"{verb.capitalize()} {entity.label_plural.lower()}", word in held)
