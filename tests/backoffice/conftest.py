"""A browser of each member, and Chromium where it is installed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from core.identity.models import User
from core.kernel.transactions import unit_of_work
from core.tenancy.context import system_context
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
