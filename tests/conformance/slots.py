"""Every slot of a call that can carry somebody else's value: paths, parameters, bodies, rows of bulk, headers."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from core.access import view
from core.entities import Entity, Field, entities
from core.entities.kinds import Kind
from tests.conformance.calls import control, new_document
from tests.conformance.rooms import BETWEEN, Call, Rooms
from tests.factories.records import SPARE

# The neighbor has used this key.
IDEMPOTENCY_KEY = "CANARY-B-key"
_BODIES = ("create", "update", "partial_update", "by_external_id")


@dataclass(frozen=True)
class Slot:
    """A place of a call: their value, one of the same shape that never was, and the call with a value in it."""

    name: str
    theirs: str
    ghost: str
    filled: Callable[[str], Call]


def slots(call: Call, rooms: Rooms, ghost_id: str) -> Iterator[Slot]:
    """Every slot of the call; what is an id is tried against `ghost_id`."""
    yield from _ids_in(call, rooms, ghost_id)
    if call.operation.entity is not None:
        yield from _slots_of_entity(call, call.operation.entity, rooms, ghost_id)
    if not call.operation.is_public:
        slug = rooms.globex.world.company.slug
        yield Slot("X-Company", slug, "nowhere", partial(_headed, call, "X-Company"))
        if call.operation.method == "POST":
            yield _of_text("Idempotency-Key", IDEMPOTENCY_KEY, partial(_headed, call, "Idempotency-Key"))


_GHOSTS = (
    ("CANARY-B", "NOBODY-X"),
    ("canary-b", "nobody-x"),
    ("canary_b", "nobody_x"),
    ("globex", "nowhex"),
)


def ghost_text(text: str) -> str:
    """A text of the same shape that nobody has."""
    for mark, other in _GHOSTS:
        text = text.replace(mark, other)
    return text


def _of_text(name: str, theirs: str, filled: Callable[[str], Call]) -> Slot:
    return Slot(name, theirs, ghost_text(theirs), filled)


# --- calls with a value in a place ---------------------------------------------------------------------------------


def _headed(call: Call, name: str, value: str) -> Call:
    return replace(call, headers={**call.headers, name: value})


def _at_path(call: Call, name: str, value: str) -> Call:
    return replace(call, path={**call.path, name: value})


def _asking(call: Call, name: str, value: str, **others: str) -> Call:
    return call.asking(**{name: value}, **others)


def _telling(call: Call, name: str, value: str) -> Call:
    return call.telling(**{name: value})


def _at_query(call: Call, place: int, value: str) -> Call:
    pairs = list(call.query)
    pairs[place] = (pairs[place][0], value)
    return replace(call, query=tuple(pairs))


def _at_body(call: Call, steps: tuple[Any, ...], value: str) -> Call:
    return replace(call, body=_put(call.body, steps, value))


def _put(document: Any, steps: tuple[Any, ...], value: Any) -> Any:
    if not steps:
        return value
    changed = dict(document) if isinstance(document, dict) else list(document)
    changed[steps[0]] = _put(changed[steps[0]], steps[1:], value)
    return changed


def _by_external_id(call: Call, both: str) -> Call:
    source, key = both.split(BETWEEN)
    return replace(call, path={"source": source, "external_id": key})


def _row_created(call: Call, document: dict[str, Any], name: str, value: str) -> Call:
    return replace(call, body={"operations": [{"op": "create", **document, name: value}]})


def _beside_ours(call: Call, ours: str, op: str, atomic: bool, value: str) -> Call:
    rows = [{"op": "delete", "id": ours}, {"op": op, "id": value}]
    return replace(call, body={"atomic": atomic, "operations": rows})


# --- what the call names -------------------------------------------------------------------------------------------


def _ids_in(call: Call, rooms: Rooms, ghost_id: str) -> Iterator[Slot]:
    """Wherever the call names a record of ours."""
    for name, value in call.path.items():
        if value in rooms.twins:
            yield Slot(f"path {name}", rooms.twins[value], ghost_id, partial(_at_path, call, name))
    for place, (name, value) in enumerate(call.query):
        if value in rooms.twins:
            yield Slot(f"query {name}", rooms.twins[value], ghost_id, partial(_at_query, call, place))
    for steps, value in _leaves(call.body):
        if value in rooms.twins:
            where = ".".join(map(str, steps))
            yield Slot(f"body {where}", rooms.twins[value], ghost_id, partial(_at_body, call, steps))


def _leaves(document: Any, steps: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    if isinstance(document, dict):
        for name, value in document.items():
            yield from _leaves(value, (*steps, name))
    elif isinstance(document, list):
        for place, value in enumerate(document):
            yield from _leaves(value, (*steps, place))
    elif isinstance(document, str):
        yield steps, document


# --- what the registry says it could name besides ------------------------------------------------------------------


def _slots_of_entity(call: Call, entity: Entity, rooms: Rooms, ghost_id: str) -> Iterator[Slot]:
    action = call.operation.action
    if action == "list":
        yield from _filters(call, entity, rooms, ghost_id)
        cursor = _minted_cursor(call, rooms)
        if cursor:
            forged = f"{cursor[:-4]}{cursor[-4:][::-1]}"
            yield Slot("cursor", cursor, forged, partial(_asking, call, "cursor", page_size="1"))
    elif action == "bulk":
        yield from _rows(call, entity, rooms, ghost_id)
    elif action in _BODIES:
        for name, theirs, ghost in _values_of(entity, rooms, ghost_id):
            if (call.body or {}).get(name) not in rooms.twins:
                yield Slot(f"body {name}", theirs, ghost, partial(_telling, call, name))
    if action == "by_external_id":
        both = [_text_of(rooms, entity, name) for name in ("external_source", "external_id")]
        for name, text in zip(("source", "external_id"), both, strict=True):
            yield _of_text(f"path {name}", text, partial(_at_path, call, name))
        yield _of_text("path source and external_id", BETWEEN.join(both), partial(_by_external_id, call))


def _rows(call: Call, entity: Entity, rooms: Rooms, ghost_id: str) -> Iterator[Slot]:
    ours, theirs = str(rooms.acme.record(entity.name, SPARE)), str(rooms.globex.record(entity.name))
    for op in ("update", "delete"):
        for atomic in (True, False):
            filled = partial(_beside_ours, call, ours, op, atomic)
            yield Slot(f"bulk {op} beside ours, atomic={atomic}", theirs, ghost_id, filled)
    document = new_document(call.operation, rooms.acme)
    for name, value, ghost in _values_of(entity, rooms, ghost_id):
        yield Slot(f"bulk create {name}", value, ghost, partial(_row_created, call, document, name))


def _values_of(entity: Entity, rooms: Rooms, ghost_id: str) -> Iterator[tuple[str, str, str]]:
    """Relations, and texts that must be unique: field, their value, one that never was."""
    for item in entity.fields.values():
        if item.read_only:
            continue
        if item.is_relation:
            yield item.name, _their_id(item, rooms), ghost_id
        elif item.key and item.type.is_text and not item.name.startswith("external_"):
            text = _text_of(rooms, entity, item.name)
            if text:
                yield item.name, text, ghost_text(text)


def _their_id(item: Field, rooms: Rooms) -> str:
    return str(
        rooms.globex.world.users["sales"] if item.kind is Kind.PERSON else rooms.globex.record(item.to)
    )


def _filters(call: Call, entity: Entity, rooms: Rooms, ghost_id: str) -> Iterator[Slot]:
    for name, item in entity.fields.items():
        if not item.filterable:
            continue
        if name == "id" or item.is_relation:
            theirs = _their_id(item, rooms) if item.is_relation else str(rooms.globex.record(entity.name))
            for parameter in (name, f"{name}__ne"):
                yield Slot(f"filter {parameter}", theirs, ghost_id, partial(_asking, call, parameter))
        elif item.type.is_text and (item.key or item.search or item.meaning == "name"):
            text = _text_of(rooms, entity, name)
            for parameter in (name, f"{name}__contains") if text else ():
                yield _of_text(f"filter {parameter}", text, partial(_asking, call, parameter))
        if item.kind is Kind.RELATION:
            title = entities[item.to].fields[entities[item.to].title[0]]
            text = _text_of(rooms, entities[item.to], title.name)
            if text and title.filterable and title.type.is_text:
                path = f"{name}.{title.name}"
                yield _of_text(f"filter {path}", text, partial(_asking, call, path))
    searched = next((item for item in entity.fields.values() if item.search and item.type.is_text), None)
    text = _text_of(rooms, entity, searched.name) if searched is not None else ""
    if text:
        yield _of_text("search", text, partial(_asking, call, "search"))
    relations = ",".join(name for name, item in entity.fields.items() if item.is_relation)
    if relations:
        theirs = str(rooms.globex.record(entity.name))
        yield Slot("filter id with expand", theirs, ghost_id, partial(_asking, call, "id", expand=relations))


def _text_of(rooms: Rooms, entity: Entity, name: str) -> str:
    """A text that the neighbor's main record has in this field."""
    key = (entity.name, name)
    if key not in rooms.texts:
        with rooms.globex.world.acting() as actor:
            records = view(entity, actor).records().filter(pk=rooms.globex.record(entity.name))
            [text] = view(entity, actor).output([name]).texts(records)
        value = json.loads(text)[name]
        rooms.texts[key] = value if isinstance(value, str) else ""
    return rooms.texts[key]


def _minted_cursor(call: Call, rooms: Rooms) -> str:
    """A cursor that the neighbor was given for the same list; empty when it fits one page."""
    theirs = replace(control(call.operation, rooms.globex), query=(("cursor", ""), ("page_size", "1")))
    answer = rooms.send(theirs, client=rooms.client("admin", "globex"))
    assert answer.ok, f"{answer.text} {answer.beside}"
    following = answer.json()["next"]
    found = re.search(r"cursor=([^&]+)", following or "")
    return found[1].replace("%3A", ":") if found else ""
