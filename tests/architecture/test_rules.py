"""Rules of the house that a reader of one file cannot see; each is checked on the source itself."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
APPS = (
    "core",
    "audit",
    "api_versioning",
    "territories",
    "workflow",
    "data_import",
    "crm",
    "integrations",
    "analytics",
    "marketplace",
)
FORBIDDEN_NAMES = {"utils", "helpers", "common", "misc"}
MAX_ROOM_LINES = 450
WRITE_METHODS = {
    "save",
    "bulk_create",
    "bulk_update",
    "update_or_create",
    "get_or_create",
}
# Written through a queryset or manager: only judged when called on something that looks like one.
QUERYSET_WRITES = {"create", "update", "delete"}


def sources() -> list[Path]:
    return [
        path for app in APPS for path in sorted((ROOT / app).rglob("*.py")) if "migrations" not in path.parts
    ]


def room_of(path: Path) -> str:
    """The room a file lives in: its own name, or that of the package it is a part of."""
    rooms = {"operations", "models", "queries", "views", "engine", "tasks", "management"}
    inside = [part.removesuffix(".py") for part in path.relative_to(ROOT).parts[1:]]
    return next((part for part in inside if part in rooms), inside[-1])


def calls(tree: ast.AST) -> Iterator[ast.Call]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.Call))


def names_in(node: ast.AST) -> set[str]:
    return {item.attr for item in ast.walk(node) if isinstance(item, ast.Attribute)} | {
        item.id for item in ast.walk(node) if isinstance(item, ast.Name)
    }


def orm_writes(path: Path) -> list[str]:
    found = []
    for call in calls(ast.parse(path.read_text())):
        if not isinstance(call.func, ast.Attribute):
            continue
        method, receiver = call.func.attr, names_in(call.func.value)
        from_manager = bool(
            receiver & {"objects", "_default_manager", "_base_manager", "_manager", "queryset"}
        )
        if method in WRITE_METHODS or (method in QUERYSET_WRITES and from_manager):
            found.append(f"{path.relative_to(ROOT)}:{call.lineno} .{method}(")
    return found


# Where rows of tables that are no company's records are written, each with its reason.
MACHINERY = {
    "core/rest/idempotency.py": "the stored answer is transport, written in the transaction of the effect",
    "core/changes": "owns the change log, its consumers and the write statement",
    "core/jobs": "owns the queue of record",
    "core/backoffice/sessions.py": "Django's sessions, written as Django writes them",
    "core/files/blobs.py": "saves bytes into the file storage; no row is written there",
}


class TestWrites:
    def test_happen_in_operations_only(self) -> None:
        offenders = [
            line
            for path in sources()
            if room_of(path) != "operations"
            and not any(str(path.relative_to(ROOT)).startswith(place) for place in MACHINERY)
            for line in orm_writes(path)
        ]

        assert offenders == []

    def test_are_found_by_this_very_check(self, tmp_path: Path) -> None:
        seeded = ROOT / "core" / "seeded_for_a_moment.py"
        seeded.write_text(
            "def f(lead, Lead):\n    lead.save()\n    Lead.objects.filter(pk=1).update(name='x')\n"
        )
        try:
            assert len(orm_writes(seeded)) == 2
        finally:
            seeded.unlink()


class TestRooms:
    def test_have_names_that_say_something(self) -> None:
        vague = [
            str(path)
            for path in sources()
            if path.stem in FORBIDDEN_NAMES or path.parent.name in FORBIDDEN_NAMES
        ]

        assert vague == []

    def test_stay_small_enough_to_read(self) -> None:
        long = {
            str(path.relative_to(ROOT)): lines
            for path in sources()
            if (lines := len(path.read_text().splitlines())) > MAX_ROOM_LINES
        }

        assert long == {}

    def test_have_no_start_up_logic_but_core_s(self) -> None:
        offenders = [
            str(path.relative_to(ROOT))
            for path in sources()
            if path.name == "apps.py"
            and "core" not in path.relative_to(ROOT).parts
            and "def ready" in path.read_text()
        ]

        assert offenders == []


class TestViews:
    @pytest.mark.parametrize("word", ["transaction", "_default_manager", "atomic"])
    def test_of_apps_decode_call_and_encode_only(self, word: str) -> None:
        offenders = [
            str(path.relative_to(ROOT))
            for path in sources()
            if room_of(path) == "views" and path.relative_to(ROOT).parts[0] != "core"
            if word in names_in(ast.parse(path.read_text()))
        ]

        assert offenders == []


class TestOutboundHttp:
    def test_has_one_client_and_it_does_not_exist_yet(self) -> None:
        clients = {"httpx", "requests", "urllib3", "aiohttp"}
        offenders = []
        for path in sources():
            for node in ast.walk(ast.parse(path.read_text())):
                modules = (
                    [alias.name for alias in node.names]
                    if isinstance(node, ast.Import)
                    else [node.module or ""]
                    if isinstance(node, ast.ImportFrom)
                    else []
                )
                if any(module.split(".")[0] in clients or module == "urllib.request" for module in modules):
                    offenders.append(str(path.relative_to(ROOT)))

        assert offenders == []


# Who may name an entity's declared fields whatever the actor: the registry, what compiles an actor's access, the documents that
# describe the whole, and what checks declarations.
DECLARED_FIELDS = (
    "core/entities/",
    "core/access/",
    "core/rest/schema/",
    "core/checks.py",
    # An address is read before anybody has signed in.
    "core/identity/operations/passwords.py",
    # Whether a change is of personal data does not depend on who looks.
    "audit/sensitivity.py",
)


def declared_fields_named(source: str) -> list[int]:
    """Lines that read `.fields` of an entity rather than of a view: `entities[…].fields`, `get_entity(…).fields`,
    `entity.fields`, `x.entity.fields`."""

    def is_entity(node: ast.expr) -> bool:
        match node:
            case ast.Subscript(value=ast.Name(id="entities")) | ast.Name(id="entity"):
                return True
            case ast.Attribute(attr="entity"):
                return True
            case ast.Call(func=ast.Name(id="get_entity")):
                return True
            case ast.Call(func=ast.Attribute(value=ast.Name(id="entities"))):
                return True
        return False

    return [
        node.lineno
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Attribute) and node.attr == "fields" and is_entity(node.value)
    ]


class TestFields:
    def test_of_entities_are_asked_of_views(self) -> None:
        offenders = [
            f"{name}:{line}"
            for path in sources()
            if not (name := str(path.relative_to(ROOT))).startswith(DECLARED_FIELDS)
            for line in declared_fields_named(path.read_text())
        ]

        assert offenders == []

    def test_are_found_by_this_very_check(self) -> None:
        seeded = "entities[n].fields\nself.entity.fields\nget_entity('x').fields\nentities.find(n).fields\nview.fields\n"
        assert declared_fields_named(seeded) == [1, 2, 3, 4]
