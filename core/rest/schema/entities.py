"""Components and operations of an entity, drawn from its facts."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from core.access.actions import body_fields
from core.access.writing import MAX_ROWS
from core.conditions.schema import MAX_NODES
from core.entities import CUSTOM_FIELDS, Entity, Field, entities
from core.entities.kinds import Kind
from core.identity.rights import permission_words
from core.rest.bulk import OPERATIONS
from core.rest.declarations import ActionShape, EntityShape, record
from core.rest.listing import MAX_ORDERING
from core.rest.schema.components import Components
from core.rest.schema.fields import VERSION, Schema, asked, example, or_null, shown, written

_REFERENCES = (Kind.RELATION, Kind.PERSON)
_LINK: Schema = {"type": ["string", "null"], "format": "uri"}
_PAGE = {"next": _LINK, "previous": _LINK}


def writable(entity: Entity) -> list[Field]:
    return [field for field in entity.fields.values() if not field.read_only]


def shape(components: Components, wanted: EntityShape) -> Schema:
    """A reference to a component of an entity: `""`, Input, Replacement, Patch, Upsert, Page, Filter or Bulk."""
    entity = entities[wanted.entity]
    name = entity.class_name + wanted.suffix
    if wanted.below:
        name += f"Below{wanted.below.title().replace('_', '')}"
    if components.knows(name):
        return {"$ref": f"#/components/schemas/{name}"}
    schema = _BUILDERS[wanted.suffix](components, entity)
    return components.add(name, _without(schema, wanted.below) if wanted.below else schema)


def action_shape(components: Components, wanted: ActionShape) -> Schema:
    """A reference to the component of what a declared action takes or answers."""
    action = wanted.action
    name = f"{entities[action.entity].class_name}{''.join(map(str.capitalize, action.name.split('_')))}{wanted.suffix}"
    if wanted.suffix == "Output":
        properties = {field.name: shown(field) for field in action.output}
        required = list(properties)
    else:
        properties = {field.name: written(field) for field in body_fields(action)}
        required = [field.name for field in action.input if field.required]
    schema: Schema = {"type": "object", "properties": properties, "additionalProperties": False}
    if required:
        schema["required"] = required
    if wanted.suffix == "Input" and required:
        schema["examples"] = [{field.name: example(field) for field in action.input if field.required}]
    return components.add(name, schema)


def _without(schema: Schema, name: str) -> Schema:
    def left(part: dict[str, Any]) -> dict[str, Any]:
        return {key: value for key, value in part.items() if key != name}

    return {
        **schema,
        "required": [needed for needed in schema.get("required", ()) if needed != name],
        "properties": left(schema["properties"]),
        "examples": [left(example) for example in schema.get("examples", ())],
    }


def _record(components: Components, entity: Entity) -> Schema:
    properties = {name: shown(field) for name, field in entity.fields.items()}
    if entity.takes_custom_fields:
        properties[CUSTOM_FIELDS] = {
            "type": "object",
            "description": "The fields that the company added, by key; absent where it added none.",
        }
    for name, field in entity.fields.items():
        if field.is_relation:
            detail = f"#/components/schemas/{entities[field.to].class_name}"
            properties[f"{name}_detail"] = {
                **or_null({"$ref": detail}),
                "readOnly": True,
                "description": f"With `expand={name}`.",
            }
    answer = {
        "type": "object",
        "description": "Fields that the caller may not see are left out, and so are those not asked for. A field that is "
        "masked for the caller holds a masked text, or null, whatever its type.",
        "properties": properties,
        "additionalProperties": False,
        "examples": [_sample(entity, entity.fields.values())],
    }
    # Registered before what it refers to, which may refer back.
    components.add(entity.class_name, answer)
    for target in sorted({field.to for field in entity.fields.values() if field.is_relation}):
        if not components.knows(entities[target].class_name):
            shape(components, record(target))
    return answer


def _sample(entity: Entity, fields: Iterable[Field]) -> dict[str, Any]:
    found = {field.name: example(field) for field in fields}
    for (name, field_name), words in _ITEM_WORDS.items():
        if name == entity.name and field_name in found:
            found[field_name] = words()[-1:]
    return found


# Lists whose items are words of another registry.
_ITEM_WORDS: dict[tuple[str, str], Callable[[], list[str]]] = {
    ("role", "permissions"): permission_words,
    ("api_key", "scopes"): permission_words,
}


def _written(entity: Entity, field: Field) -> Schema:
    schema = written(field)
    words = _ITEM_WORDS.get((entity.name, field.name))
    return {**schema, "items": {"type": "string", "enum": words()}} if words else schema


def _document(entity: Entity, fields: list[Field], *, whole: bool = True, versioned: bool = False) -> Schema:
    """`whole`: what a record needs is required."""
    required = [field.name for field in fields if field.required] if whole else []
    properties = {field.name: _written(entity, field) for field in fields}
    if entity.takes_custom_fields:
        properties[CUSTOM_FIELDS] = {
            "type": "object",
            "description": "The fields that the company added, by key: `/metadata/entities/` lists them. A change keeps the keys "
            "that it does not name; null removes one.",
        }
    if versioned:
        properties["version"] = {**VERSION, "description": "The version that was read; 412 when it moved on."}
    return {
        "type": "object",
        **({"required": required} if required else {}),
        "properties": properties,
        "additionalProperties": False,
    }


def _input_sample(entity: Entity, fields: list[Field], *, at_least: int = 4) -> list[Any]:
    needed = [field for field in fields if field.required]
    plain = [
        field
        for field in fields
        if not field.required and field.kind not in (*_REFERENCES, Kind.JSON) and not field.key
    ]
    return [_sample(entity, [*needed, *plain[: max(0, at_least - len(needed))]])]


def _input(components: Components, entity: Entity) -> Schema:
    fields = writable(entity)
    return {**_document(entity, fields), "examples": _input_sample(entity, fields)}


def _replacement(components: Components, entity: Entity) -> Schema:
    fields = writable(entity)
    return {
        **_document(entity, fields, versioned=True),
        "description": "The whole record: what is not sent goes back to its default.",
        "examples": _input_sample(entity, fields),
    }


def _patch(components: Components, entity: Entity) -> Schema:
    fields = writable(entity)
    changed = [field for field in fields if field.kind not in _REFERENCES][:2]
    return {**_document(entity, fields, whole=False, versioned=True), "examples": [_sample(entity, changed)]}


def _upsert(components: Components, entity: Entity) -> Schema:
    fields = [field for field in writable(entity) if field.name not in ("external_source", "external_id")]
    return {**_document(entity, fields), "examples": _input_sample(entity, fields)}


def _page(components: Components, entity: Entity) -> Schema:
    results = {"type": "array", "items": shape(components, record(entity.name))}
    counted = {
        "count": {"type": "integer", "minimum": 0},
        "count_is_exact": {"type": "boolean", "description": "False: an estimate; ask `count=exact`."},
    }
    return {
        "type": "object",
        "description": "With `cursor` there is no count.",
        "required": [*_PAGE, "results"],
        "properties": {**counted, **_PAGE, "results": results},
        "additionalProperties": False,
    }


def _filter(components: Components, entity: Entity) -> Schema:
    properties: dict[str, Schema] = {}
    for field in entity.fields.values():
        properties |= asked(field)
    relations = [field.name for field in entity.fields.values() if field.is_relation and field.filterable]
    schema: Schema = {
        "type": "object",
        "properties": properties,
        "additionalProperties": False,
        "maxProperties": MAX_NODES - 1,
    }
    if relations:
        schema["description"] = (
            "Fields behind a relation are asked for as `relation.field`, with the same operators: "
            + ", ".join(f"`{name}.…`" for name in relations)
            + "."
        )
    return schema


def _bulk(components: Components, entity: Entity) -> Schema:
    name = entity.class_name
    fields = writable(entity)
    create = _document(entity, fields)
    update = _document(entity, fields, whole=False, versioned=True)
    for item, op in ((create, "create"), (update, "update")):
        item["properties"] = {"op": {"const": op}, **item["properties"]}
        item["required"] = ["op", *item.get("required", [])]
    update["properties"]["id"] = {"type": "string", "format": "uuid"}
    update["required"].append("id")
    items = [  # in the order of `OPERATIONS`
        components.add(f"{name}BulkCreate", create),
        components.add(f"{name}BulkUpdate", update),
        components.schema("BulkDelete"),
    ]
    sample = {"op": "create", **_input_sample(entity, fields)[0]}
    return {
        "type": "object",
        "required": ["operations"],
        "properties": {
            "atomic": {
                "type": "boolean",
                "description": "All or nothing. Otherwise each operation stands for itself: one that is refused says so in its "
                "own result.",
            },
            "operations": {
                "type": "array",
                "minItems": 1,
                "maxItems": MAX_ROWS,
                "items": {
                    "oneOf": items,
                    "discriminator": {
                        "propertyName": "op",
                        "mapping": dict(zip(OPERATIONS, (item["$ref"] for item in items), strict=True)),
                    },
                },
            },
        },
        "additionalProperties": False,
        "examples": [{"atomic": True, "operations": [sample]}],
    }


_BUILDERS = {
    "": _record,
    "Input": _input,
    "Replacement": _replacement,
    "Patch": _patch,
    "Upsert": _upsert,
    "Page": _page,
    "Filter": _filter,
    "Bulk": _bulk,
}


# --- parameters ----------------------------------------------------------------------------------------------------


def _names(name: str, allowed: list[str], description: str, most: int | None = None) -> Schema:
    schema: Schema = {"type": "array", "items": {"type": "string", "enum": allowed}}
    if most:
        schema["maxItems"] = most
    return {
        "name": name,
        "in": "query",
        "style": "form",
        "explode": False,
        "description": description,
        "schema": schema,
    }


def shape_parameters(components: Components, entity: Entity) -> list[Schema]:
    name = entity.class_name
    fields = _names("fields", list(entity.fields), "Only these fields.")
    found = [components.parameter(f"{name}Fields", fields)]
    relations = [name for name, field in entity.fields.items() if field.is_relation]
    if relations:
        expand = _names("expand", relations, "Inline these relations as `<name>_detail`.")
        found.append(components.parameter(f"{name}Expand", expand))
    return found


def list_parameters(components: Components, entity: Entity) -> list[Schema]:
    name = entity.class_name
    sortable = [
        f"{sign}{key}" for key, field in entity.fields.items() if field.sortable for sign in ("", "-")
    ]
    described = f"Sort keys, `-` for descending; default `{entity.ordering}`."
    filters = {
        "name": "filter",
        "in": "query",
        "style": "form",
        "explode": True,
        "description": "Filters, each a parameter of its own such as `created_at__gte=2026-01-01`; all must hold.",
        "schema": shape(components, EntityShape(entity.name, "Filter")),
    }
    return [
        components.parameter(f"{name}Filters", filters),
        components.parameter(f"{name}Ordering", _names("ordering", sortable, described, MAX_ORDERING)),
        *(components.parameter(each) for each in ("Search", "Page", "PageSize", "Cursor", "Count")),
        *shape_parameters(components, entity),
    ]
