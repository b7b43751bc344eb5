"""Nothing a member sends can read, change, count or even detect what belongs to another company.

Every operation × every slot that can carry a value × the other company's value against one that never was. The
answers must be the same down to the number of statements, and nothing of the other company may be seen or changed.
Either of the two locks (scoped managers, row-level security) must be enough alone.
"""

from __future__ import annotations

from itertools import count

import pytest
from django.test import override_settings

from core.kernel.ids import uuid7
from tests.conformance.calls import control
from tests.conformance.isolation import faults_of
from tests.conformance.operations import Operation, every_operation, operations
from tests.conformance.rooms import Call, Rooms

# What tells two companies apart on purpose: operation and slot -> why.
TOLD_ON_PURPOSE: dict[tuple[str, str], str] = {}


def told(faults: list[str]) -> list[str]:
    """Those that are not on purpose."""
    on_purpose = tuple(f"{operation}, {slot}: " for operation, slot in TOLD_ON_PURPOSE)
    return [fault for fault in faults if not fault.startswith(on_purpose)]


class TestOneLockAlone:
    """A request that only one lock guards; the other is off."""

    @every_operation()
    def test_the_scoped_managers_keep_companies_apart(self, operation: Operation, rooms: Rooms) -> None:
        with override_settings(TENANCY_LOCKS=frozenset({"scope"})):
            assert told(faults_of(operation, rooms)) == []

    @pytest.mark.parametrize("remainder", range(4))
    def test_row_level_security_keeps_companies_apart(self, remainder: int, rooms: Rooms) -> None:
        # That every table has its policies is read from the catalog; here one operation in four is enough.
        chosen = [
            operation
            for place, operation in zip(count(), operations(), strict=False)
            if place % 16 == remainder * 4
        ]
        with override_settings(TENANCY_LOCKS=frozenset({"rls"})):
            assert told([fault for operation in chosen for fault in faults_of(operation, rooms)]) == []


@pytest.mark.long
class TestEveryPrincipal:
    @pytest.mark.parametrize(
        "locks", [{"scope", "rls"}, {"scope"}, {"rls"}], ids=lambda locks: "+".join(sorted(locks))
    )
    @pytest.mark.parametrize("role", ["admin", "manager", "sales", "viewer"])
    def test_learns_nothing_of_another_company(self, role: str, locks: set[str], rooms: Rooms) -> None:
        with override_settings(TENANCY_LOCKS=frozenset(locks)):
            assert (
                told([fault for operation in operations() for fault in faults_of(operation, rooms, role)])
                == []
            )


class TestTokens:
    """What the neighbor was given, in our hands."""

    def test_of_access_do_not_open_our_company(self, rooms: Rooms) -> None:
        me = next(operation for operation in operations() if operation.name == "GET /auth/me/")
        theirs = rooms.client("admin", "globex")
        ours, nowhere = (
            rooms.send(Call(me, headers={"X-Company": slug}), client=theirs) for slug in ("acme", "nowhere")
        )

        assert (ours.status, nowhere.status) == (403, 403)
        assert rooms.outline(ours, "acme") == rooms.outline(nowhere, "nowhere")

    def test_of_refreshing_are_no_access_tokens(self, rooms: Rooms) -> None:
        refresh = next(operation for operation in operations() if operation.name == "POST /auth/refresh/")
        token = control(refresh, rooms.globex).body["refresh"]
        for operation in operations():
            if not operation.is_public:
                call = control_path(operation, rooms)
                answer = rooms.send(
                    Call(operation, call, headers={"Authorization": f"Bearer {token}"}), "anonymous"
                )
                assert answer.status == 401, operation.name
                break


def control_path(operation: Operation, rooms: Rooms) -> dict[str, str]:
    return {name: str(uuid7()) for name in operation.parameters}


class TestNobody:
    @every_operation()
    def test_gets_in_without_a_token(self, operation: Operation, rooms: Rooms) -> None:
        answer = rooms.send(Call(operation, control_path(operation, rooms)), "anonymous")

        if operation.is_public:
            assert answer.status != 401
        else:
            assert (answer.status, answer.headers["content-type"]) == (401, "application/problem+json")
            assert "bearer" in answer.headers["www-authenticate"].lower()
