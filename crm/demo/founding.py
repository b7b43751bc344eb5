"""The demo company before its first customer: people, roles, products and tags."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from core.changes import Rows
from core.identity import queries
from core.identity.models import Company, Person, Role, User
from core.identity.operations import create_company, create_roles, create_users
from core.kernel.transactions import unit_of_work
from core.tenancy.actors import Actor
from core.tenancy.context import actor_context, system_context
from crm import operations
from crm.demo.words import PEOPLE, PRODUCTS, TAGS
from crm.models import Product, Tag

# Beside the built-in roles: someone who prepares leads for all the others and sells nothing.
_QUALIFIER = {
    "name": "lead qualifier",
    "permissions": [
        "read",
        *(
            f"{verb}:{entity}"
            for entity in ("lead", "activity", "task", "note")
            for verb in ("create", "update")
        ),
    ],
    "record_scope": "all",
}


@dataclass(frozen=True, slots=True)
class Demo:
    """The company and those who sell for it."""

    company: Company
    sellers: tuple[Actor, ...]


def find_demo(slug: str) -> Demo | None:
    """The demo company of this slug; None when there is no company. A company that is no demo has no sellers."""
    with system_context("looking for the demo company", source="command"), unit_of_work():
        company = Company.objects.filter(slug=slug).first()
        if company is None:
            return None
        emails = [_email(name, slug) for name, *_, role, _manager in PEOPLE if role == "sales"]
        known = dict(User.objects.filter(email__in=emails).values_list("email", "pk"))
    actors = [queries.list_actors_of_user(known[email]).get(slug) for email in emails if email in known]
    return Demo(company, tuple(actor for actor in actors if actor is not None))


def found(slug: str, password: str, now: datetime) -> None:
    """Make the company with its people, who all have the same password. Commits by itself."""
    name, first, last, *_ = PEOPLE[0]
    with system_context("founding the demo company", source="command"), unit_of_work():
        founded = create_company(
            name="Demo" if slug == "demo" else slug.replace("-", " ").capitalize(),
            slug=slug,
            admin_email=_email(name, slug),
            admin_password=password,
            first_name=first,
            last_name=last,
            now=now,
        )
        admin = queries.list_actors_of_user(founded.admin.pk)[slug]
        with actor_context(admin, source="command"):
            _add_people(admin, slug, password, now)
            _add_catalog(admin, now)


def _add_people(admin: Actor, slug: str, password: str, now: datetime) -> None:
    create_roles(actor=admin, rows=Rows.of(Role, [_QUALIFIER]), now=now).raise_if_refused()
    roles = dict(Role.objects.values_list("name", "pk"))
    ids = {PEOPLE[0][0]: admin.user_id}
    # Managers are there before those who report to them.
    for managers in ({"admin"}, {name for name, *_, role, _manager in PEOPLE if role == "manager"}):
        group = [person for person in PEOPLE if person[4] in managers]
        rows = [
            {
                "email": _email(name, slug),
                "first_name": first,
                "last_name": last,
                "role": roles[role],
                "manager": ids[manager],
            }
            for name, first, last, role, manager in group
        ]
        outcome = create_users(
            actor=admin,
            rows=Rows.of(Person, rows),
            now=now,
            passwords=dict.fromkeys(range(len(rows)), password),
        )
        outcome.raise_if_refused()
        ids |= {person[0]: outcome.ids[place] for place, person in enumerate(group)}


def _add_catalog(admin: Actor, now: datetime) -> None:
    names = ("sku", "name", "family", "product_type", "unit", "unit_price", "cost_price", "billing_period")
    products = [dict(zip(names, product, strict=True)) for product in PRODUCTS]
    operations.create_products(actor=admin, rows=Rows.of(Product, products), now=now).raise_if_refused()
    tags = [{"name": name, "color": color} for name, color in TAGS.items()]
    operations.create_tags(actor=admin, rows=Rows.of(Tag, tags), now=now).raise_if_refused()


def _email(name: str, slug: str) -> str:
    return f"{name}@{slug}.example"
