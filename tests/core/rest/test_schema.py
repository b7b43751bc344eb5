"""The OpenAPI document says what is true."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
import yaml
from django.contrib.staticfiles import finders
from django.urls import URLPattern, URLResolver, get_resolver
from drf_spectacular.drainage import GENERATOR_STATS, reset_generator_stats
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.validation import validate_schema
from jsonschema_rs import Draft202012Validator

from core.access import view
from core.conditions.params import SUFFIXES, parse_params
from core.entities import Field, entities
from core.entities.kinds import BadValue, Kind
from core.kernel.errors import Invalid
from core.rest.parsing import read_json
from core.rest.schema import fields as schemas
from core.rest.schema.components import SCHEMAS
from core.rest.schema.views import openapi_document
from core.rest.views import ApiView
from core.tenancy.actors import system_actor
from tests.worlds import World

METHODS = ("get", "post", "put", "patch", "delete")


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    document: Any = openapi_document()
    for path, item in document["paths"].items():
        for method in METHODS:
            if method in item:
                yield path, method, item[method]


def validator(schema: dict[str, Any]) -> Draft202012Validator:
    """Of a schema that may refer to the document's components."""
    document: Any = openapi_document()
    components = {"schemas": {**SCHEMAS, **document["components"]["schemas"]}}
    return Draft202012Validator({**schema, "components": components}, validate_formats=True)


def served(patterns: list[Any], prefix: str = "/") -> Iterator[tuple[str, Any]]:
    for pattern in patterns:
        path = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from served(pattern.url_patterns, path)
        elif isinstance(pattern, URLPattern):
            yield path, pattern.callback


class TestDocument:
    def test_is_valid_and_made_without_a_warning(self) -> None:
        reset_generator_stats()
        document = SchemaGenerator().get_schema(request=None, public=True)

        assert not GENERATOR_STATS
        validate_schema(document)
        assert document["openapi"].startswith("3.1")

    def test_holds_every_operation_once(self) -> None:
        ids = [operation["operationId"] for _, _, operation in operations()]

        assert len(set(ids)) == len(ids)

    def test_says_of_every_operation_what_it_does_and_how_it_refuses(self) -> None:
        for path, method, operation in operations():
            assert operation["summary"], f"{method} {path}"
            assert {"400", "406", "429", "503"} <= set(operation["responses"]), f"{method} {path}"
            assert operation["security"] == [] or {"401", "403"} <= set(operation["responses"])

    def test_is_asked_for_by_every_view_of_the_api_but_its_own_two(self) -> None:
        undocumented = {
            path
            for path, callback in served(get_resolver().url_patterns)
            if path.startswith("/api/v1/")
            and issubclass(getattr(callback, "cls", object), ApiView)
            and callback.cls.schema is None
        }

        assert undocumented == {"/api/v1/schema/", "/api/v1/docs/"}

    def test_refers_only_to_what_is_there(self) -> None:
        document: Any = openapi_document()

        def references(part: Any) -> Iterator[str]:
            if isinstance(part, dict):
                if isinstance(part.get("$ref"), str):
                    yield part["$ref"]
                for inner in part.values():
                    yield from references(inner)
            elif isinstance(part, list):
                for inner in part:
                    yield from references(inner)

        for reference in set(references(document)):
            _, _, kind, name = reference.split("/")
            assert name in document["components"][kind], reference


class TestFilters:
    """Exactly those that `core.conditions.params` reads."""

    @staticmethod
    def code(name: str, value: str, entity_name: str) -> str:
        source = view(entity_name, system_actor(uuid4()))
        try:
            parse_params([(name, value)], source)
        except Invalid as refusal:
            return refusal.faults[0].code
        return ""

    def test_that_are_documented_are_read(self) -> None:
        for entity in entities:
            for field in entity.fields.values():
                for name in schemas.asked(field):
                    code = self.code(name, "x", entity.name)
                    assert code not in (
                        "unknown_filter",
                        "unknown_operator",
                        "operator_not_allowed",
                        "not_filterable",
                    ), f"{entity.name}: {name}"

    def test_that_are_not_documented_are_refused(self) -> None:
        suffixes = ["", *(f"__{suffix}" for suffix in (*SUFFIXES, "isnull", "date"))]
        for entity in entities:
            for field in entity.fields.values():
                for suffix in suffixes:
                    name = f"{field.name}{suffix}"
                    if name not in schemas.asked(field):
                        assert self.code(name, "true", entity.name), f"{entity.name}: {name}"


def sample_field(kind: Kind, **changes: Any) -> Field:
    plain = Field(
        **{"name": "sample", "kind": kind, "label": "Sample", "column": "sample", "required": False},
        **{"nullable": False, "read_only": False, "pii": False, "search": "", "key": False, "meaning": ""},
        **{"filterable": True, "sortable": True, "dimension": False, "measure": False, "sql": ""},
        **{"description": "", "choices": (), "max_length": 20, "max_digits": 8, "decimal_places": 2},
        **{"minimum": None, "maximum": None, "unique": False, "to": "", "default": ""},
    )
    return replace(plain, **changes)


CHOICES = (("new", "New"), ("won", "Won"))
PERCENT = {"minimum": 0, "maximum": 100, "max_digits": 5}
WRITTEN: list[tuple[Field, list[Any], list[Any]]] = [
    (sample_field(Kind.TEXT), ["", "a", "ä" * 20, "\n"], ["a" * 21, "\x00", 1, [], None]),
    (sample_field(Kind.TEXT, required=True), ["a", " a"], ["", "  ", "\n"]),
    (sample_field(Kind.TEXT, nullable=True), [None], [1]),
    (
        sample_field(Kind.EMAIL),
        ["", "a@b.cd", "A+b@x.co.uk"],
        ["a", "a@b", "a b@c.de", "a@b.cd\n", "a\x00@b.cd"],
    ),
    (sample_field(Kind.URL), ["", "https://a.de/x?y", "a.de"], ["http://", "a b", '"', "a.de\n"]),
    (sample_field(Kind.COUNTRY), ["", "DE"], ["de", "XX", 1]),
    (sample_field(Kind.CURRENCY, required=True), ["EUR"], ["eur", ""]),
    (sample_field(Kind.CHOICE, choices=CHOICES), ["new", ""], ["New", "lost", None]),
    (sample_field(Kind.CHOICE, choices=CHOICES, required=True), ["won"], [""]),
    (sample_field(Kind.INTEGER, minimum=0, maximum=9), [0, 9], [-1, 10, "1", 1.5, True]),
    (sample_field(Kind.INTEGER), [2**31 - 1, -(2**31) + 1], [2**31, -(2**31)]),
    (
        sample_field(Kind.MONEY),
        ["0", "-1.5", "999999.99", 1, -2.25],
        ["1.234", "1000000", "x", "", True, 1000000, 0.001],
    ),
    (sample_field(Kind.DECIMAL, **PERCENT), ["0", "100", "100.00", "99.99", 100], ["-1", -1]),
    (sample_field(Kind.BOOLEAN), [True, False], ["true", 1, None]),
    (sample_field(Kind.DATE), ["2026-02-28"], ["2026-02-30", "0000-01-01", "20260101", "x", 1]),
    (
        sample_field(Kind.DATETIME),
        ["2026-02-28T10:00:00Z", "2026-02-28T10:00:00.5+02:00"],
        ["0001-01-01T00:00:00+02:00"],
    ),
    (sample_field(Kind.RELATION), [str(uuid4())], ["x", 1, {}]),
    (sample_field(Kind.TAGS), [[], ["a", "b c"]], [["a,b"], [" "], ["a" * 65], ["a"] * 51, "a", [1]]),
    (sample_field(Kind.JSON), [{}, [1, "a"], "x", {"a": {"b": None}}], []),
]


class TestWrittenFields:
    """What the document calls valid, and only that, is read."""

    @staticmethod
    def is_read(field: Field, value: Any) -> bool:
        if value is None:
            return field.nullable
        try:
            read = field.type.from_json(field, read_json(json.dumps(value).encode()))
        except BadValue:
            return False
        return not (field.required and isinstance(read, str) and not read.strip())

    @pytest.mark.parametrize(("field", "good", "bad"), WRITTEN, ids=lambda part: getattr(part, "kind", None))
    def test_agree_with_their_kind(self, field: Field, good: list[Any], bad: list[Any]) -> None:
        written = validator(schemas.written(field))
        for value in good:
            assert written.is_valid(value), value
            assert self.is_read(field, value), value
        for value in bad:
            assert not written.is_valid(value), value
            assert not self.is_read(field, value), value

    def test_have_examples_that_fit(self) -> None:
        for entity in entities:
            for suffix in ("", "Input", "Patch"):
                document: Any = openapi_document()
                component = document["components"]["schemas"].get(entity.class_name + suffix)
                for example in (component or {}).get("examples", ()):
                    faults = [fault.message for fault in validator(component).iter_errors(example)]
                    assert not faults, f"{entity.name}{suffix}: {faults}"


class TestAnswers:
    @pytest.mark.parametrize("name", ["user", "role"])
    @pytest.mark.parametrize("query", ["", "?cursor=", "?fields=id", "?expand=created_by"])
    def test_are_as_documented(self, acme: World, name: str, query: str) -> None:
        answer = acme.client().get(f"/api/v1/{entities[name].path}/{query}")

        assert answer.status_code == 200
        page = {"$ref": f"#/components/schemas/{entities[name].class_name}Page"}
        assert [fault.message for fault in validator(page).iter_errors(answer.json())] == []

    def test_that_refuse_are_problems(self, acme: World) -> None:
        answer = acme.client().get("/api/v1/roles/?nonsense=1")

        assert answer.status_code == 400
        problem = {"$ref": "#/components/schemas/Problem"}
        assert [fault.message for fault in validator(problem).iter_errors(answer.json())] == []


class TestSchemaPages:
    @pytest.mark.parametrize("accept", ["application/vnd.oai.openapi", "application/yaml"])
    def test_serves_json_and_yaml_to_anyone(self, client: Any, db: None, accept: str) -> None:
        as_json = client.get("/api/v1/schema/")
        as_yaml = client.get("/api/v1/schema/", headers={"Accept": accept})

        assert as_json["Content-Type"] == "application/vnd.oai.openapi+json"
        assert as_yaml["Content-Type"] == accept
        assert as_yaml.content.startswith(b"openapi: ")
        one, other = as_json.json(), yaml.safe_load(as_yaml.content)
        assert {part for part in one if one[part] != other.get(part)} == set()
        assert one.keys() == other.keys()

    def test_browses_without_loading_anything_from_elsewhere(self, client: Any, db: None) -> None:
        page = client.get("/api/v1/docs/")
        text = page.content.decode()

        assert page.status_code == 200
        assert "script-src 'self';" in page["Content-Security-Policy"]
        assert "//" not in text.replace("<!DOCTYPE html>", "")
        assert "<script>" not in text
        for part in text.split('"'):
            if part.startswith("/static/"):
                assert finders.find(part.removeprefix("/static/")), part


class TestMetadata:
    def test_lists_what_the_caller_may_do(self, acme: World) -> None:
        listed = {
            role: {
                entity["name"]: entity["can"]
                for entity in acme.client(role).get("/api/v1/metadata/entities/").json()["results"]
            }
            for role in ("admin", "viewer")
        }

        assert listed["admin"]["role"]["create"]
        assert not listed["viewer"]["role"]["create"]
        assert listed["viewer"]["role"]["read"]

    def test_tells_the_fields_of_one_kind(self, acme: World) -> None:
        entity = acme.client().get("/api/v1/metadata/entities/user/").json()
        fields = {field["name"]: field for field in entity["fields"]}

        assert fields["email"]["required"]
        assert fields["email"]["mode"] == "edit"
        assert fields["manager"]["relation"] == "user"
        assert fields["created_at"]["read_only"]
        assert "gte" in fields["created_at"]["operators"]
        assert (
            acme.client().get("/api/v1/metadata/entities/user/fields/").json()["results"] == entity["fields"]
        )

    def test_shows_a_viewer_fields_to_view_only(self, acme: World) -> None:
        entity = acme.client("viewer").get("/api/v1/metadata/entities/user/").json()

        assert {field["mode"] for field in entity["fields"]} == {"view"}

    def test_knows_nothing_else(self, acme: World) -> None:
        assert acme.client().get("/api/v1/metadata/entities/unicorn/").status_code == 404
        assert acme.client().get("/api/v1/metadata/entities/?x=1").status_code == 400


def test_a_documented_moment_is_read_as_a_filter() -> None:
    """A range of times as the document spells it."""
    text = f"{datetime(2026, 1, 1, tzinfo=UTC):%Y-%m-%dT%H:%M:%SZ}"
    pattern = schemas.shared_filters()["FilterDatetimeRange"]

    assert validator(pattern).is_valid(f"{text},{text}")
    assert TestFilters.code("created_at__between", f"{text},{text}", "role") == ""
