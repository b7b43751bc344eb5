"""Every document passes one place, in which API versions change it."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import pytest
from rest_framework.response import Response

from config.home import PROJECT_DIR
from core.kernel.registry import Registry
from core.rest import encoding
from core.rest.encoding import PROBLEM_JSON, Exchange, JsonRenderer
from tests.worlds import World

CONTACTS = "/api/v1/contacts/"
OLD = {"HTTP_ACCEPT_VERSION": "v0"}


def _renamed(document: Any, old: str, new: str) -> Any:
    if isinstance(document, dict):
        return {new if name == old else name: _renamed(value, old, new) for name, value in document.items()}
    if isinstance(document, list):
        return [_renamed(item, old, new) for item in document]
    return document


def surname_up(exchange: Exchange, document: Any) -> Any:
    return _renamed(document, "surname", "last_name") if exchange.version == "v0" else document


def surname_down(exchange: Exchange, answer: Response) -> None:
    if exchange.version != "v0":
        return
    answer.data = _renamed(answer.data, "last_name", "surname")
    if answer.content_type == PROBLEM_JSON:
        for fault in answer.data["errors"]:
            fault["path"] = fault["path"].replace("last_name", "surname")


@pytest.fixture
def old_version(monkeypatch: pytest.MonkeyPatch) -> None:
    """In v0 a `last_name` was a `surname`."""
    for name, entries in (
        ("VERSIONS", {"v1": "", "v0": ""}),
        ("UP", {"surname": surname_up}),
        ("DOWN", {"surname": surname_down}),
    ):
        registry: Registry[Any] = Registry(name)
        for key, entry in entries.items():
            registry.register(key, entry)
        monkeypatch.setattr(encoding, name, registry)


@pytest.mark.usefixtures("old_version")
class TestTransforms:
    def test_change_a_record_both_ways(self, acme: World) -> None:
        client = acme.client()
        made = client.post(CONTACTS, {"surname": "Keller"}, **OLD)
        assert (made.status_code, made.json()["surname"], made["API-Version"]) == (201, "Keller", "v0")
        now = client.get(made["Location"])
        assert (now.json()["last_name"], now["API-Version"]) == ("Keller", "v1")
        changed = client.patch(made["Location"], {"surname": "Okafor"}, HTTP_ACCEPT_VERSION="0")
        assert changed.json()["surname"] == "Okafor"
        assert "last_name" not in changed.json()

    @pytest.mark.parametrize("query", ["", "?cursor="])
    def test_change_a_list(self, acme: World, query: str) -> None:
        client = acme.client()
        client.post(CONTACTS, {"last_name": "Keller"})
        assert [row["surname"] for row in client.get(CONTACTS + query, **OLD).json()["results"]] == ["Keller"]

    def test_change_a_problem(self, acme: World) -> None:
        refused = acme.client().post(CONTACTS, {"surname": ""}, **OLD)
        assert (refused.status_code, refused["Content-Type"]) == (400, PROBLEM_JSON)
        assert [fault["path"] for fault in refused.json()["errors"]] == ["surname"]

    def test_change_a_bulk_request(self, acme: World) -> None:
        client = acme.client()
        done = client.post(f"{CONTACTS}bulk/", {"operations": [{"op": "create", "surname": "Keller"}]}, **OLD)
        assert done.json()["succeeded"] == 1, done.json()
        assert client.get(CONTACTS).json()["results"][0]["last_name"] == "Keller"

    def test_know_the_exchange(self, acme: World, monkeypatch: pytest.MonkeyPatch) -> None:
        seen: list[Exchange] = []
        monkeypatch.setattr(encoding, "DOWN", [lambda exchange, answer: seen.append(exchange)])
        client = acme.client()
        client.get("/api/v1/auth/me/", **OLD)
        client.get("/api/v1/metadata/entities/contact/")
        client.get("/api/v1/monitoring/health/?live=1")
        client.post(CONTACTS, "{")
        client.get("/api/v1/nowhere/")

        assert [(one.version, one.method, one.entity, one.operation) for one in seen] == [
            ("v0", "GET", "", "get"),
            ("v1", "GET", "", "get"),
            ("v1", "GET", "", "get"),
            ("v1", "POST", "contact", "create"),
            ("v1", "GET", "", ""),
        ]

    def test_of_a_version_nobody_serves_are_refused(self, acme: World) -> None:
        refused = acme.client().get(CONTACTS, HTTP_ACCEPT_VERSION="v9")
        assert (refused.status_code, refused.json()["versions"]) == (406, ["v0", "v1"])

    def test_leave_another_version_its_own_idempotent_answer(self, acme: World) -> None:
        client = acme.client()
        key = {"HTTP_IDEMPOTENCY_KEY": "one"}
        first = client.post(CONTACTS, {"last_name": "Keller"}, **key)
        assert client.post(CONTACTS, {"last_name": "Keller"}, **key).content == first.content
        assert client.post(CONTACTS, {"last_name": "Keller"}, **key, **OLD).status_code == 422


class TestEncoding:
    @pytest.mark.parametrize("document", [{"number": 2**70}, {"text": "a\udc80"}, {"text": "ä"}])
    def test_takes_what_json_takes(self, document: dict[str, Any]) -> None:
        assert json.loads(JsonRenderer().render(document)) == document

    def test_is_done_in_one_place(self) -> None:
        """Views answer documents; none makes JSON itself."""
        makers = []
        for path in [*PROJECT_DIR.glob("*/views.py"), *PROJECT_DIR.glob("*/**/views.py"), *_rest_modules()]:
            if ".venv" in path.parts or path.name == "encoding.py":
                continue
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call) and ast.unparse(node.func) in (
                    "JsonResponse",
                    "json.dumps",
                    "orjson.dumps",
                ):
                    makers.append(f"{path.relative_to(PROJECT_DIR)}:{node.lineno}")
        assert makers == []


def _rest_modules() -> list[Path]:
    return sorted((PROJECT_DIR / "core/rest").rglob("*.py"))
