"""Two companies, each with its four roles; one person is in both."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from django.test import Client
from django.utils import timezone

from core.changes import Rows
from core.identity.models import Company, Person, Role
from core.identity.operations import create_company, create_users, sign_in
from core.identity.queries import list_actors_of_user
from core.kernel.transactions import unit_of_work
from core.tenancy.actors import Actor
from core.tenancy.context import actor_context

PASSWORD = "correct horse battery"
ROLES = ("admin", "manager", "sales", "viewer")


@contextmanager
def acting(actor: Actor) -> Iterator[None]:
    """A transaction of the actor's company."""
    with actor_context(actor, source="test"), unit_of_work():
        yield


@dataclass
class Api:
    """A client that sends JSON and a token."""

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


@dataclass
class Firm:
    company: Company
    users: dict[str, Any]

    def email(self, role: str) -> str:
        return f"{role}@{self.company.slug}.example"

    def actor(self, role: str) -> Actor:
        return list_actors_of_user(self.users[role])[self.company.slug]

    def role(self, name: str) -> Role:
        with acting(self.actor("admin")):
            return Role.objects.get(name=name)

    def api(self, role: str) -> Api:
        return Api(sign_in(email=self.email(role), password=PASSWORD, now=timezone.now()).access)


def found(slug: str) -> Firm:
    """A company with an admin, a manager, a sales person and a viewer."""
    now = timezone.now()
    with unit_of_work():
        founded = create_company(
            name=slug.title(),
            slug=slug,
            admin_email=f"admin@{slug}.example",
            admin_password=PASSWORD,
            first_name="Ada",
            last_name=slug.title(),
            now=now,
        )
    firm = Firm(founded.company, {"admin": founded.admin.pk})
    admin = firm.actor("admin")
    with acting(admin):
        roles = {role.name: role.pk for role in Role.objects.all()}
        people = [{"email": firm.email(name), "first_name": name, "role": roles[name]} for name in ROLES[1:]]
        made = create_users(
            actor=admin,
            rows=Rows.of(Person, people),
            now=now,
            passwords=dict.fromkeys(range(len(people)), PASSWORD),
        )
        made.raise_if_refused()
    firm.users |= {name: made.ids[place] for place, name in enumerate(ROLES[1:])}
    return firm


@dataclass
class Firms:
    acme: Firm
    globex: Firm


def found_both() -> Firms:
    firms = Firms(found("acme"), found("globex"))
    both = {"email": "both@people.example", "first_name": "Bo", "last_name": "Th"}
    for firm in (firms.acme, firms.globex):
        admin = firm.actor("admin")
        with acting(admin):
            role = Role.objects.get(name="sales")
            rows = Rows.of(Person, [{**both, "role": role.pk}])
            firm.users["both"] = create_users(
                actor=admin, rows=rows, now=timezone.now(), passwords={0: PASSWORD}
            ).one
    return firms
