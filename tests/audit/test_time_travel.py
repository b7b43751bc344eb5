"""Records of random histories stand as they stood whenever somebody took a copy."""

from __future__ import annotations

import random
from datetime import datetime
from typing import Any

import pytest
from django.utils import timezone

from tests.audit.test_real_input import same
from tests.worlds import World

pytestmark = pytest.mark.django_db(transaction=True)

# Kind -> path, what a new one says, what a step may change.
KINDS: dict[str, tuple[str, dict[str, Any], dict[str, list[Any]]]] = {
    "account": (
        "accounts",
        {"name": "Acme Ltd"},
        {
            "name": ["Acme Inc", "Acme GmbH", "Łódź & <sons>"],
            "annual_revenue": ["1.10", "12345678901.23", None],
            "tags": [["a"], ["a", "b"], []],
            "billing_country": ["DE", "US", ""],
            "number_of_employees": [0, 7, None],
        },
    ),
    "contact": (
        "contacts",
        {"last_name": "Doe"},
        {
            "last_name": ["Roe", "O'Neil"],
            "email": ["jo@doe.test", ""],
            "birth_date": ["1980-02-29", None],
            "do_not_call": [True, False],
        },
    ),
    "deal": (
        "deals",
        {"name": "Big one", "currency": "USD", "close_date": "2027-01-31"},
        {
            "amount": ["10.00", "99999.99", None],
            "close_date": ["2027-02-28", "2027-03-31"],
            "next_step": ["Call", ""],
            "name": ["Bigger one"],
        },
    ),
}


def history(world: World, kind: str, chance: random.Random, steps: int) -> None:
    """Live through a history and ask for every copy afterwards."""
    path, first, changes = KINDS[kind]
    client, url = world.client(), f"/api/v1/{path}/"
    made = client.post(url, first)
    assert made.status_code == 201, made.content
    record = f"{url}{made.json()['id']}/"
    copies: list[tuple[datetime, dict[str, Any] | None]] = [(timezone.now(), made.json())]
    for _ in range(steps):
        copy = copies[-1][1]
        if copy is None:
            assert client.post(f"{record}restore/").status_code == 200
        elif chance.random() < 0.15:
            assert client.delete(record).status_code == 204
        else:
            chosen = chance.sample(sorted(changes), chance.randrange(1, 3))
            answer = client.patch(record, {name: chance.choice(changes[name]) for name in chosen})
            assert answer.status_code == 200, answer.content
        found = client.get(record)
        copies.append((timezone.now(), found.json() if found.status_code == 200 else None))
    for at, copy in copies:
        query = {"entity_type": kind, "entity_id": made.json()["id"], "at": at.isoformat()}
        stood = client.get("/api/v1/audit/logs/as-of/", query).json()
        assert stood["exists"]
        assert stood["is_deleted"] is (copy is None)
        for name in changes if copy is not None else ():
            assert same(stood["values"].get(name), copy[name]), (kind, name, at, stood["values"], copy)


@pytest.mark.parametrize("seed", [1, 2, *(pytest.param(n, marks=pytest.mark.long) for n in range(3, 30))])
@pytest.mark.parametrize("kind", KINDS)
def test_a_record_stands_as_it_stood(kind: str, seed: int, acme: World) -> None:
    history(acme, kind, random.Random(f"{kind} {seed}"), steps=12)
