"""A member's password, set by who manages users."""

from __future__ import annotations

from tests.worlds import ApiClient, World

NEW = "nine white boats in line"


def sign_in(email: str, password: str) -> int:
    return ApiClient().post("/api/v1/auth/login/", {"email": email, "password": password}).status_code


class TestSetPassword:
    def test_gives_a_member_of_this_company_alone_a_new_one(self, acme: World, globex: World) -> None:
        answer = acme.client().post(f"/api/v1/users/{acme.users['sales']}/set-password/", {"password": NEW})

        assert answer.status_code == 204, answer.content
        assert sign_in(acme.email("sales"), NEW) == 200

    def test_gives_somebody_invited_none(self, acme: World, globex: World) -> None:
        admin = acme.client()
        role = admin.get("/api/v1/roles/?name=sales").json()["results"][0]["id"]
        user = admin.post("/api/v1/users/", {"email": "new@acme.test", "role": role}).json()

        assert admin.post(f"/api/v1/users/{user['id']}/set-password/", {"password": NEW}).status_code == 404
        assert sign_in("new@acme.test", NEW) == 401

    def test_ends_their_sessions(self, acme: World) -> None:
        theirs = acme.client("sales")
        acme.client().post(f"/api/v1/users/{acme.users['sales']}/set-password/", {"password": NEW})

        assert theirs.get("/api/v1/auth/me/").status_code == 401

    def test_is_refused_to_others_and_for_others(self, acme: World, globex: World) -> None:
        path = f"/api/v1/users/{acme.users['sales']}/set-password/"
        assert acme.client("manager").post(path, {"password": NEW}).status_code == 403
        assert globex.client().post(path, {"password": NEW}).status_code == 404

    def test_is_refused_for_people_of_several_companies(self, acme: World, globex: World) -> None:
        globex.join(acme.users["sales"])
        admin = globex.client()

        answer = admin.post(f"/api/v1/users/{acme.users['sales']}/set-password/", {"password": NEW})

        assert (answer.status_code, answer.json()["code"]) == (403, "belongs_elsewhere")

    def test_keeps_the_password_rules(self, acme: World) -> None:
        answer = acme.client().post(
            f"/api/v1/users/{acme.users['sales']}/set-password/", {"password": "short"}
        )

        assert (answer.status_code, answer.json()["errors"][0]["path"]) == (400, "password")
