"""Contract 00 over one small entity of core; the conformance tests hold every other entity to the same."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import pytest

from tests.worlds import World


class TestRoles:
    def test_are_listed_with_an_exact_count(self, acme: World, globex: World) -> None:
        answer = acme.client().get("/api/v1/roles/?ordering=name")

        assert answer.status_code == 200
        assert answer.json()["count"] == 4
        assert [role["name"] for role in answer.json()["results"]] == ["admin", "manager", "sales", "viewer"]

    def test_of_another_company_are_not_there(self, acme: World, globex: World) -> None:
        theirs = globex.client().get("/api/v1/roles/").json()["results"][0]

        assert acme.client().get(f"/api/v1/roles/{theirs['id']}/").status_code == 404

    def test_walk_by_cursor_there_and_back(self, acme: World) -> None:
        client = acme.client()
        first = client.get("/api/v1/roles/?cursor=&page_size=3&ordering=name").json()
        second = client.get(first["next"]).json()
        back = client.get(second["previous"]).json()

        assert [role["name"] for role in first["results"] + second["results"]] == [
            "admin",
            "manager",
            "sales",
            "viewer",
        ]
        assert back["results"] == first["results"]
        assert second["next"] is None
        assert "count" not in first

    @pytest.mark.parametrize(
        ("parameters", "path", "code"),
        [
            ("?nope=1", "nope", "unknown_filter"),
            ("?ordering=nope", "ordering", "unknown_ordering"),
            ("?fields=nope", "fields", "unknown_field"),
            ("?fields=", "fields", "unknown_field"),
            ("?fields=id,,name", "fields", "unknown_field"),
            ("?expand=", "expand", "not_expandable"),
            ("?ordering=,", "ordering", "unknown_ordering"),
            ("?expand=name", "expand", "not_expandable"),
            ("?page=0", "page", "not_an_integer"),
            ("?page_size=501", "page_size", "too_large"),
            ("?cursor=forged", "cursor", "bad_cursor"),
            ("?page=1&page=2", "page", "repeated"),
        ],
    )
    def test_refuse_what_they_do_not_know(self, acme: World, parameters: str, path: str, code: str) -> None:
        answer = acme.client().get(f"/api/v1/roles/{parameters}")

        assert answer.status_code == 400
        assert answer["Content-Type"] == "application/problem+json"
        assert (path, code) in [(fault["path"], fault["code"]) for fault in answer.json()["errors"]]

    @pytest.mark.parametrize(
        ("parameters", "path", "code"),
        [
            ("?fields=", "fields", "unknown_field"),
            ("?expand=,", "expand", "not_expandable"),
            ("?page=1", "page", "unknown_parameter"),
        ],
    )
    def test_refuse_it_of_a_single_one(self, acme: World, parameters: str, path: str, code: str) -> None:
        client = acme.client()
        role = client.get("/api/v1/roles/").json()["results"][0]
        read = client.get(f"/api/v1/roles/{role['id']}/{parameters}")
        made = client.post(f"/api/v1/roles/{parameters}", {"name": "auditors"})

        for answer in (read, made):
            assert answer.status_code == 400
            assert (path, code) in [(fault["path"], fault["code"]) for fault in answer.json()["errors"]]

    def test_are_created_changed_and_removed(self, acme: World) -> None:
        client = acme.client()
        made = client.post("/api/v1/roles/", {"name": "auditor", "permissions": ["read"]})
        assert made.status_code == 201, made.content
        place = made["Location"].removeprefix("http://testserver")
        assert made["ETag"] == '"1"'

        changed = client.patch(place, {"permissions": ["read", "analytics"]}, HTTP_IF_MATCH='"1"')
        assert changed.json()["version"] == 2

        stale = client.patch(place, {"permissions": ["read"]}, HTTP_IF_MATCH='"1"')
        assert (stale.status_code, stale.json()["code"]) == (412, "stale")

        assert client.delete(place).status_code == 204
        assert client.get(place).status_code == 404

    def test_replay_the_first_answer_of_an_idempotency_key(self, acme: World) -> None:
        client = acme.client()
        first = client.post("/api/v1/roles/", {"name": "auditor"}, HTTP_IDEMPOTENCY_KEY="k1")
        again = client.post("/api/v1/roles/", {"name": "auditor"}, HTTP_IDEMPOTENCY_KEY="k1")
        other = client.post("/api/v1/roles/", {"name": "clerk"}, HTTP_IDEMPOTENCY_KEY="k1")

        assert (again.status_code, again.content) == (201, first.content)
        assert again["Idempotency-Replayed"] == "true"
        assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")

    def test_keep_an_idempotency_key_to_whoever_used_it(self, acme: World) -> None:
        place, body, key = "/api/v1/leads/", {"last_name": "Doe"}, {"HTTP_IDEMPOTENCY_KEY": "k1"}
        mine = acme.client("manager").post(place, body, **key)
        others = acme.client("sales").post(place, body, **key)

        assert (mine.status_code, others.status_code) == (201, 201)
        assert mine.json()["id"] != others.json()["id"]

    def test_replay_nothing_to_whom_the_right_was_taken(self, acme: World) -> None:
        client, body = acme.client("sales"), {"last_name": "Doe"}
        assert client.post("/api/v1/leads/", body, HTTP_IDEMPOTENCY_KEY="k1").status_code == 201
        role = acme.role("sales")
        changed = acme.client().patch(f"/api/v1/roles/{role.pk}/", {"permissions": ["read"]})
        assert changed.status_code == 200
        again = client.post("/api/v1/leads/", body, HTTP_IDEMPOTENCY_KEY="k1")

        assert (again.status_code, again.json()["code"]) == (403, "forbidden")

    @pytest.mark.parametrize(
        ("body", "code"),
        [
            ('{"name": "a", "name": "b"}', "duplicate_key"),
            ('{"name": NaN}', "not_json"),
            ('{"name": 1e999}', "number_out_of_range"),
            ("[" * 1000 + "]" * 1000, "too_deep"),
            ("{", "not_json"),
            (b"\xff", "not_utf8"),
        ],
    )
    def test_refuse_bodies_that_are_no_strict_json(self, acme: World, body: str, code: str) -> None:
        answer = acme.client().post("/api/v1/roles/", body)

        assert (answer.status_code, answer.json()["code"]) == (400, code)

    @pytest.mark.parametrize("length", ["x", "-1", "1e3", "1.0", "\u0663", "0x1", "+1"])
    def test_refuse_a_length_that_is_no_number(self, acme: World, length: str) -> None:
        answer = acme.client().post("/api/v1/roles/", {"name": "auditor"}, CONTENT_LENGTH=length)

        assert (answer.status_code, answer.json()["code"]) == (400, "bad_content_length")

    @pytest.mark.parametrize("digits", [9, 18, 5_000])
    def test_refuse_a_length_beyond_the_limit(self, acme: World, digits: int) -> None:
        answer = acme.client().post("/api/v1/roles/", {"name": "auditor"}, CONTENT_LENGTH="9" * digits)

        assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")

    @pytest.mark.parametrize("sent", [{"HTTP_TRANSFER_ENCODING": "chunked"}, {"SERVER_PROTOCOL": "HTTP/2"}])
    def test_refuse_a_body_of_untold_length(self, acme: World, sent: dict[str, str]) -> None:
        # As a web server hands it on. The framework would read nothing.
        def post(body: bytes) -> Any:
            given = {"wsgi.input": BytesIO(body), "wsgi.input_terminated": True}
            return acme.client().post("/api/v1/roles/", **given, **sent)

        answer = post(b'{"name": "auditor"}')
        assert (answer.status_code, answer.json()["code"]) == (411, "length_required")
        assert post(b"").json()["errors"][0]["code"] == "required"

    def test_refuse_what_text_cannot_hold(self, acme: World) -> None:
        for name in ('{"name": "a\\u0000b"}', '{"name": "\\ud800"}'):
            answer = acme.client().post("/api/v1/roles/", name)
            assert (answer.status_code, answer.json()["errors"][0]["code"]) == (400, "invalid_characters")


class TestPaths:
    @pytest.mark.parametrize(
        ("given", "moved"),
        [
            ("/api/roles/?page_size=1", "/api/v1/roles/?page_size=1"),
            ("/api/a1/", "/api/v1/a1/"),
            ("/api/views/", "/api/v1/views/"),
        ],
    )
    def test_without_a_version_lead_to_the_current_one(self, acme: World, given: str, moved: str) -> None:
        answer = acme.client().post(given, {}, content_type="application/json")

        assert (answer.status_code, answer["Location"]) == (308, moved)

    def test_of_another_version_are_not_there(self, acme: World) -> None:
        answer = acme.client().get("/api/v9/roles/")

        assert answer.status_code == 404
        assert answer["Content-Type"] == "application/problem+json"

    def test_may_leave_out_the_closing_slash(self, acme: World) -> None:
        assert acme.client().get("/api/v1/roles").json() == acme.client().get("/api/v1/roles/").json()


class TestBulk:
    def test_answers_for_each_row(self, acme: World) -> None:
        client = acme.client()
        role = client.post("/api/v1/roles/", {"name": "auditor"}).json()
        operations = [
            {"op": "create", "name": "clerk"},
            {"op": "create", "name": "ADMIN"},
            {"op": "update", "id": role["id"], "version": 7, "permissions": ["read"]},
            {"op": "delete", "id": role["id"][:-4] + "0000"},
            {"op": "fly"},
        ]
        answer = client.post("/api/v1/roles/bulk/", {"operations": operations})

        assert [row["status"] for row in answer.json()["results"]] == [201, 400, 412, 404, 400]

    def test_is_all_or_nothing_when_atomic(self, acme: World) -> None:
        client = acme.client()
        operations = [{"op": "create", "name": "clerk"}, {"op": "create", "name": "ADMIN"}]
        answer = client.post("/api/v1/roles/bulk/", {"atomic": True, "operations": operations})

        assert answer.status_code == 400
        assert answer.json()["errors"][0]["path"] == "operations.1.name"
        assert client.get("/api/v1/roles/?name=clerk").json()["count"] == 0
