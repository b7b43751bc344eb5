"""The two companies that all conformance tests share, in one transaction that is rolled back at the end of a file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import connection, transaction
from django.test import override_settings

from core.identity import tokens
from core.kernel import transactions
from core.rest import views
from core.tenancy.context import system_context
from tests.conformance.rooms import ACME, GLOBEX, Rooms
from tests.conformance.slots import IDEMPOTENCY_KEY
from tests.factories.records import stock
from tests.worlds import ROLES, make_world


@pytest.fixture(scope="module")
def _one_transaction(
    django_db_setup: None, django_db_blocker: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[None]:
    """Everything of a file in one transaction. What would commit on its own becomes a savepoint, so that a refused
    request takes back what it wrote, as it does in service."""

    def nested(work: Callable[[], Any]) -> Any:
        with transaction.atomic():
            return work()

    patch = pytest.MonkeyPatch()
    patch.setattr(
        transactions,
        "transaction",
        SimpleNamespace(atomic=lambda savepoint=True: transaction.atomic(), on_commit=transaction.on_commit),
    )
    patch.setattr(views, "retried", nested)
    # The long forms outlast an access token, and who signs in anew in a savepoint is signed out with it.
    patch.setitem(tokens._LIFETIMES, "access", timedelta(hours=3))
    # A server error must not cost the connection that holds the transaction.
    patch.setattr(views, "close_old_connections", lambda: None)
    with django_db_blocker.unblock(), override_settings(MEDIA_ROOT=tmp_path_factory.mktemp("media")):
        with transaction.atomic():
            yield
            transaction.set_rollback(True)
        connection.close()
    patch.undo()


@pytest.fixture(scope="module")
def rooms(_one_transaction: None) -> Rooms:
    made = Rooms(stock(make_world("acme"), ACME), stock(make_world("globex"), GLOBEX))
    _use_idempotency_key(made)
    for role in ROLES:
        made.client(role)
    made.client("admin", "globex")
    made.settle()
    return made


@pytest.fixture
def crowd(rooms: Rooms) -> Iterator[Rooms]:
    """The companies, whose records a test may add to."""
    with transaction.atomic():
        yield rooms
        transaction.set_rollback(True)


def _use_idempotency_key(made: Rooms) -> None:
    """The neighbor's answer is kept under the very principal that will ask for it."""
    with system_context("an answer kept for the neighbor"), connection.cursor() as cursor:
        for principal in made.acme.world.users.values():
            cursor.execute(
                "INSERT INTO core_idempotentanswer (id, company_id, principal, key, fingerprint, status, headers, body, "
                "created_at, updated_at, version) VALUES (uuidv7(), %s, %s, %s, 'x', 201, '{}', %s, now(), now(), 1)",
                [made.globex.world.company.pk, f"user:{principal}", IDEMPOTENCY_KEY, b"CANARY-B replayed"],
            )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The test database is made for those that say they need one."""
    for item in items:
        if "rooms" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.django_db)
