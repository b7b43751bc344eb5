"""Two companies of the same shape, so that every test has somebody else's data in the room."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.test import Client
from django.utils import timezone

from core.changes import Rows, WriteSpec, insert
from core.identity import queries
from core.identity.models import Company, Membership, Person, Role, User
from core.identity.operations.companies import create_company
from core.identity.operations.members import create_members
from core.identity.operations.sessions import open_session, sign_in
from core.kernel.transactions import unit_of_work
from core.tenancy.actors import Actor, system_actor
from core.tenancy.context import actor_context, system_context

PASSWORD = "a quiet harbor at dawn"
ROLES = ("admin", "manager", "sales", "viewer")


class ApiClient(Client):
    """Django's test client that speaks JSON and carries an access token."""

    def __init__(self, token: str = "", **defaults: Any) -> None:
        super().__init__(raise_request_exception=False, **defaults)
        if token:
            self.defaults["HTTP_AUTHORIZATION"] = f"Bearer {token}"

    def generic(
        self,
        method: str,
        path: str,
        data: Any = "",
        content_type: str = "application/json",
        *args: Any,
        **extra: Any,
    ) -> Any:
        if isinstance(data, dict | list):
            data = json.dumps(data, default=str)
        return super().generic(method, path, data, content_type, *args, **extra)

    def _send(self, method: str, path: str, data: Any = "", **extra: Any) -> Any:
        return self.generic(method, path, data, **extra)

    def post(self, path: str, data: Any = "", **extra: Any) -> Any:  # type: ignore[override]
        return self._send("POST", path, data, **extra)

    def put(self, path: str, data: Any = "", **extra: Any) -> Any:  # type: ignore[override]
        return self._send("PUT", path, data, **extra)

    def patch(self, path: str, data: Any = "", **extra: Any) -> Any:  # type: ignore[override]
        return self._send("PATCH", path, data, **extra)

    def delete(self, path: str, data: Any = "", **extra: Any) -> Any:  # type: ignore[override]
        return self._send("DELETE", path, data, **extra)


@dataclass
class Api:
    """Calls by the path below `/api/v1`, with credentials of either scheme, or none."""

    token: str = ""
    scheme: str = "Bearer"
    headers: dict[str, str] = field(default_factory=dict)

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        sent = {**self.headers, **headers}
        if self.token:
            sent["Authorization"] = f"{self.scheme} {self.token}"
        data = None if body is None else json.dumps(body)
        return Client(headers=sent).generic(
            method, f"/api/v1{path}", data or "", content_type="application/json"
        )

    def get(self, path: str, **headers: str) -> Any:
        return self.call("GET", path, **headers)

    def post(self, path: str, body: Any = None, **headers: str) -> Any:
        return self.call("POST", path, {} if body is None else body, **headers)

    def patch(self, path: str, body: Any, **headers: str) -> Any:
        return self.call("PATCH", path, body, **headers)

    def delete(self, path: str, **headers: str) -> Any:
        return self.call("DELETE", path, **headers)


@contextmanager
def acting(actor: Actor) -> Iterator[None]:
    """A transaction of the actor's company."""
    with actor_context(actor, source="test"), unit_of_work():
        yield


@dataclass
class World:
    """One company with a member of each built-in role; `manager` is above `sales`."""

    company: Company
    users: dict[str, UUID] = field(default_factory=dict)

    def actor(self, role: str = "admin") -> Actor:
        """The member with this role, as sign-in would see them now."""
        return queries.list_actors_of_user(self.users[role])[self.company.slug]

    @property
    def system(self) -> Actor:
        return system_actor(self.company.pk)

    @contextmanager
    def acting(self, role: str = "admin", source: str = "api") -> Iterator[Actor]:
        """Inside the company and a transaction, as this member."""
        actor = self.actor(role)
        with actor_context(actor, source=source), unit_of_work():
            yield actor

    @property
    def actors(self) -> dict[str, Actor]:
        return {role: self.actor(role) for role in self.users}

    def token(self, role: str = "admin") -> str:
        with system_context("opening a session for a test"), unit_of_work():
            user = User.objects.get(pk=self.users[role])
        return open_session(user, now=timezone.now(), company_slug=self.company.slug).access

    def client(self, role: str = "admin") -> ApiClient:
        return ApiClient(self.token(role))

    def email(self, role: str) -> str:
        return f"{role}@{self.company.slug}.test"

    def role(self, name: str) -> Role:
        with self.acting():
            return Role.objects.get(name=name)

    def join(self, user_id: UUID, role: str = "sales") -> None:
        """Make somebody who is known already a member, as if they had accepted an invitation. Needs a transaction or makes
        one."""
        with self.acting() as actor:
            row = {"user": user_id, "role": Role.objects.get(name=role).pk, "is_active": True}
            insert(
                WriteSpec(Membership), Rows.of(Membership, [row]), actor=actor, now=timezone.now()
            ).raise_if_refused()

    def api(self, role: str) -> Api:
        """As this member, signed in with the password."""
        return Api(sign_in(email=self.email(role), password=PASSWORD, now=timezone.now()).access)


@dataclass
class Worlds:
    """Two companies, and one person (`both`) who is in each of them."""

    acme: World
    globex: World


def make_world(slug: str) -> World:
    """Found the company `slug`; its people are `<role>@<slug>.test`, all with the same password."""
    now = timezone.now()
    with unit_of_work():
        founded = create_company(
            name=slug.capitalize(),
            slug=slug,
            admin_email=f"admin@{slug}.test",
            admin_password=PASSWORD,
            first_name="Ada",
            last_name=slug.capitalize(),
            now=now,
        )
    world = World(founded.company, {"admin": founded.admin.pk})
    with world.acting() as actor:
        roles = dict(Role.objects.values_list("name", "id"))
        previous = founded.admin.pk
        for role in ROLES[1:]:
            row = {
                "email": f"{role}@{slug}.test",
                "first_name": role.capitalize(),
                "last_name": slug.capitalize(),
                "role": roles[role],
                "manager": previous,
            }
            outcome = create_members(
                actor=actor, rows=Rows.of(Person, [row]), now=now, passwords={0: PASSWORD}
            )
            world.users[role] = outcome.one
            previous = outcome.one
    return world


def make_worlds() -> Worlds:
    """`acme` and `globex`, with `both@people.test` selling for the two."""
    worlds = Worlds(make_world("acme"), make_world("globex"))
    both = {"email": "both@people.test", "first_name": "Bo", "last_name": "Th"}
    with worlds.acme.acting() as actor:
        rows = Rows.of(Person, [{**both, "role": Role.objects.get(name="sales").pk}])
        made = create_members(actor=actor, rows=rows, now=timezone.now(), passwords={0: PASSWORD})
    worlds.acme.users["both"] = worlds.globex.users["both"] = made.one
    worlds.globex.join(made.one)
    return worlds
