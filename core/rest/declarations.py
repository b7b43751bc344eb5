"""What handlers take and answer: declared beside them, or drawn from the registry for those of entities.

The OpenAPI document is made of it, and `ApiView` refuses parameters and bodies that are not declared.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pydantic import BaseModel
from rest_framework.serializers import Serializer

from core.entities import Action, Entity

JSON = "application/json"
# What every answer that is a record, or many, lets a client ask for.
SHAPE_PARAMETERS = frozenset({"fields", "expand"})
# What every list takes.
PAGE_PARAMETERS = frozenset({"page", "page_size", "cursor", "count"})
_ATTRIBUTE = "operation"

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class Content:
    """A body that is not JSON: its media type, and its JSON Schema where it is a form."""

    media_type: str
    schema: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class EntityShape:
    """A component of an entity; `suffix` is empty for the record itself. The path says the field `below` already."""

    entity: str
    suffix: str = ""
    below: str = ""


@dataclass(frozen=True)
class ActionShape:
    """What a declared action takes (`Input`) or answers (`Output`)."""

    action: Action
    suffix: str


Shape = (
    type[BaseModel]
    | type[Serializer[Any]]
    | Mapping[str, Any]
    | Callable[[], Mapping[str, Any]]
    | EntityShape
    | ActionShape
    | Content
    | None
)


def record(entity: str) -> EntityShape:
    """A record as the API answers it."""
    return EntityShape(entity)


def page(entity: str) -> EntityShape:
    """One page of a list."""
    return EntityShape(entity, "Page")


def created(entity: str, *, below: str = "") -> EntityShape:
    """What a client sends to create a record; below a parent that the path names, without the field for it."""
    return EntityShape(entity, "Input", below)


@dataclass(frozen=True)
class Operation:
    """What one handler takes and answers."""

    request: Shape = None
    response: Shape = None
    status: int = 200
    summary: str = ""
    # Other successes: status -> shape.
    also: Mapping[int, Shape] = field(default_factory=dict)
    # Statuses of problems beyond the usual ones.
    errors: tuple[int, ...] = ()
    # Query parameters: name -> JSON Schema, or a function that answers it once all is registered.
    query: Mapping[str, Mapping[str, Any] | Callable[[], Mapping[str, Any]]] = field(default_factory=dict)
    required_query: tuple[str, ...] = ()
    # Path parameters that are no ids: name -> JSON Schema.
    path: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    # The entity whose list parameters (filters, ordering, paging, shape) are taken.
    lists: str = ""
    # `page`, `page_size`, `cursor` and `count` are taken (`core.rest.filtered_lists`).
    paged: bool = False
    # `fields` and `expand` are taken.
    shaped: bool = False
    # The body may be left out.
    optional_body: bool = False
    # `If-Match` is taken, and an `ETag` answered.
    versioned: bool = False
    # Its body or its answer holds a secret that must not stay readable, so no `Idempotency-Key` is taken.
    secret: bool = False

    @property
    def parameters(self) -> frozenset[str] | None:
        """The query parameters that it reads; none for a list, which has too many to name."""
        if self.lists:
            return None
        paging = PAGE_PARAMETERS if self.paged else frozenset()
        return frozenset(self.query) | paging | (SHAPE_PARAMETERS if self.shaped else frozenset())


def documented(**declared: Any) -> Callable[[F], F]:
    """Declare the handler: the arguments are those of `Operation`."""

    def declare(handler: F) -> F:
        setattr(handler, _ATTRIBUTE, Operation(**declared))
        return handler

    return declare


def declaration_of(view: type[Any], name: str) -> Operation | None:
    """What the view's handler of that name declares, or the view for it."""
    declared: Operation | None = getattr(getattr(view, name, None), _ATTRIBUTE, None)
    return declared or getattr(view, "schemas", {}).get(name)


def standard(entity: Entity, action: str) -> Operation | None:
    """What `EntityViewSet` itself serves as `action`."""
    name = entity.name
    one, many = entity.noun, entity.noun_plural
    article = _article(one)
    of = record(name)

    def sent(suffix: str) -> EntityShape:
        return EntityShape(name, suffix)

    operations = {
        "list": Operation(response=page(name), summary=f"List {many}", lists=name),
        "retrieve": Operation(
            response=of, summary=f"Get {article} {one}", shaped=True, versioned=True, also={304: None}
        ),
        "create": Operation(
            request=created(name), response=of, status=201, summary=f"Create {article} {one}", shaped=True
        ),
        "update": Operation(
            request=sent("Replacement"),
            response=of,
            summary=f"Replace {article} {one}",
            shaped=True,
            versioned=True,
            errors=(423,),
        ),
        "partial_update": Operation(
            request=sent("Patch"),
            response=of,
            summary=f"Change {article} {one}",
            shaped=True,
            versioned=True,
            errors=(423,),
        ),
        "destroy": Operation(
            status=204,
            summary=f"Move {article} {one} to the recycle bin"
            if entity.is_soft_deleted
            else f"Delete {article} {one}",
            versioned=True,
            errors=(423,),
        ),
        "restore": Operation(
            response=of,
            summary=f"Restore {article} {one} from the recycle bin",
            shaped=True,
            versioned=True,
        ),
        "by_external_id": Operation(
            request=sent("Upsert"),
            response=of,
            also={201: of},
            summary=f"Create or change {article} {one} by its id in another system",
            shaped=True,
            versioned=True,
            errors=(423,),
            path={
                part: {"type": "string", "minLength": 1, "maxLength": most, "pattern": r"^[^\u0000/]+$"}
                for part, most in (("source", 64), ("external_id", 255))
            },
        ),
        "bulk": Operation(
            request=sent("Bulk"),
            response={"$ref": "#/components/schemas/BulkResult"},
            summary=f"Create, change and delete many {many}",
        ),
    }
    return operations.get(action)


def performing(action: Action) -> Operation:
    """What the route of a declared action serves."""
    answers_record = not action.output
    return Operation(
        request=ActionShape(action, "Input"),
        response=record(action.entity) if answers_record else ActionShape(action, "Output"),
        summary=first_sentence(action.description),
        optional_body=not action.needs_input,
        shaped=answers_record,
        versioned=True,
    )


def created_below(entity: Entity, relation: str, parent: Entity) -> Operation:
    """What a nested list serves as `create`."""
    return Operation(
        request=created(entity.name, below=relation),
        response=record(entity.name),
        status=201,
        summary=f"Add {_article(entity.noun)} {entity.noun} to the {parent.noun}",
        shaped=True,
    )


def first_sentence(text: str) -> str:
    """The first sentence of a docstring or description, without its full stop."""
    paragraph = " ".join(text.strip().split("\n\n")[0].split())
    return re.split(r"(?<=[.!?])\s|;\s", paragraph)[0].rstrip(".;")


def _article(noun: str) -> str:
    return "an" if noun[:1] in "aeio" else "a"
