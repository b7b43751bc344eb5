"""A browser of each member, and Chromium where it is installed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client

from core.identity.models import User
from core.kernel.transactions import unit_of_work
from core.tenancy.context import system_context
from tests.backoffice.browsing import LAUNCH_ARGS, Visitor, find_chromium
from tests.factories.crm import make_account, make_contact, make_deal, make_lead, make_note, make_task
from tests.worlds import PASSWORD, World

Office = Callable[..., Client]


def user_of(world: World, role: str) -> User:
    with system_context("test"), unit_of_work():
        return User.objects.get(pk=world.users[role])


@pytest.fixture
def office() -> Office:
    """`office(world, role)`: Django's test client, signed in to the back office."""

    def open_office(world: World, role: str = "admin") -> Client:
        client = Client()
        email = f"{role}@{world.company.slug}.test"
        answer = client.post("/admin/login/", {"username": email, "password": PASSWORD, "next": "/admin/"})
        assert answer.status_code == 302
        return client

    return open_office


def text_of(answer: Any) -> str:
    return str(answer.content.decode())


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args: dict[str, Any], browser_type: Any) -> dict[str, Any]:
    """Chromium with nothing that asks the network on its own; without one, the tests that need it are skipped."""
    # Playwright runs an event loop in this thread by now, with a browser or without, and Django takes all that follows for
    # asynchronous code.
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
    found = find_chromium(browser_type.executable_path)
    if found is None:
        pytest.skip("no Chromium is here: `playwright install chromium`, or the system's package")
    return {**browser_type_launch_args, "executable_path": found, "args": LAUNCH_ARGS}


@pytest.fixture(scope="session", autouse=True)
def built_assets() -> None:
    """The charts' script, which the repository does not keep."""
    call_command("build_assets")


@pytest.fixture
def visitor(live_server: Any, new_context: Any) -> Iterator[Callable[..., Visitor]]:
    """`visitor(**context)`: a browser of its own. At the end nothing may have gone wrong, and nothing left the server."""
    visitors: list[Visitor] = []

    def visit(width: int = 1280, height: int = 900, **options: Any) -> Visitor:
        context = new_context(viewport={"width": width, "height": height}, **options)
        context.set_default_timeout(60_000)
        visitors.append(Visitor(context.new_page(), live_server.url))
        return visitors[-1]

    yield visit
    assert [fault for item in visitors for fault in item.faults] == []
    assert [url for item in visitors for url in item.foreign] == []


@pytest.fixture
def furnished(acme: Any) -> dict[str, Any]:
    """A company with something on every page."""
    with acme.acting() as actor:
        owner = acme.users["admin"]
        account = make_account(
            actor, name="Northwind Traders", owner=owner, tags=["key account"], website="northwind.example"
        )
        contact = make_contact(
            actor, first_name="Maya", last_name="Keller", account=account.pk, email="m@northwind.example"
        )
        deals = [
            make_deal(
                actor,
                name=f"Northwind {what}",
                account=account.pk,
                amount=str(amount),
                currency="USD",
                owner=owner,
            )
            for what, amount in (("rollout", 52_000), ("renewal", 18_500))
        ]
        lead = make_lead(
            actor, first_name="Noah", last_name="Okafor", company_name="Okafor Ltd", rating="hot", owner=owner
        )
        make_task(actor, subject="Send the offer", owner=owner, deal=deals[0].pk, due_date="2026-01-05")
        make_note(actor, title="First call", body="They want two phases.", deal=deals[0].pk)
    return {"account": account, "contact": contact, "deal": deals[0], "lead": lead}
