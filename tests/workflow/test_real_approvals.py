"""Real orders with large discounts go up the real chain of their sellers: each step is asked as often as the files say."""

from __future__ import annotations

import csv
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from uuid import UUID

import pytest
from django.utils import timezone

from core.access import view
from core.access.writing import write
from core.changes import Rows
from core.entities.custom import custom_field
from core.entities.kinds import Kind
from core.identity.models import Person, Role
from core.identity.operations.members import create_members
from core.identity.queries import find_actor
from core.kernel.errors import Unprocessable
from tests.seams.access.extensions import company_fields, forget
from tests.worlds import PASSWORD, World, acting
from workflow.approvals import operations
from workflow.approvals.models import ApprovalRequest, ApprovalTask

pytestmark = pytest.mark.django_db(transaction=True)

DISCOUNT = "custom_fields.discount"


@pytest.fixture
def discounts(acme: World) -> Iterator[None]:
    """The company keeps the largest discount of an order, in percent."""
    company_fields.add(acme.company.pk, "deal", custom_field("discount", Kind.DECIMAL))
    yield
    forget()


def rows(folder: Path, name: str) -> list[dict[str, str]]:
    with (folder / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def hire(world: World, employees: list[dict[str, str]]) -> dict[str, UUID]:
    """Members of the company, each below whom they report to."""
    made: dict[str, UUID] = {}
    while len(made) < len(employees):
        for item in employees:
            above = item["reports_to"]
            if item["employee_id"] in made or (above and above not in made):
                continue
            with world.acting() as actor:
                row = {
                    "email": f"{item['last_name'].lower()}@northwind.test",
                    "first_name": item["first_name"],
                    "last_name": item["last_name"],
                    "role": Role.objects.get(name="sales").pk,
                    "manager": made.get(above),
                }
                hired = create_members(
                    actor=actor, rows=Rows.of(Person, [row]), now=timezone.now(), passwords={0: PASSWORD}
                )
            made[item["employee_id"]] = hired.one
    return made


def test_steps_are_asked_as_often_as_the_files_say(
    acme: World, discounts: None, data_dir: Callable[[str], Path]
) -> None:
    folder = data_dir("northwind")
    largest: dict[str, Decimal] = defaultdict(Decimal)
    for line in rows(folder, "order_details"):
        # 0.150000006 is noise of a float.
        percent = round(Decimal(line["discount"]) * 100, 2)
        largest[line["order_id"]] = max(largest[line["order_id"]], percent)
    above = {item["employee_id"]: item["reports_to"] for item in rows(folder, "employees")}
    people = hire(acme, rows(folder, "employees"))
    sold: dict[str, list[dict[str, str]]] = defaultdict(list)
    for order in rows(folder, "orders"):
        sold[order["employee_id"]].append(order)
    answer = acme.client().post(
        "/api/v1/workflow/approval-processes/",
        {
            "name": "Large discount",
            "entity_type": "deal",
            "entry_condition": {"field": DISCOUNT, "operator": "gt", "value": 15},
            "steps": [
                {"step": 1, "name": "Manager", "approvers": [{"kind": "manager"}]},
                {
                    "step": 2,
                    "name": "Manager's manager",
                    "approvers": [{"kind": "manager", "levels": 2}],
                    "condition": {"field": DISCOUNT, "operator": "gt", "value": 20},
                },
            ],
            # Above the top there is the administrator.
            "escalation_chain": [acme.email("admin")],
        },
    )
    assert answer.status_code == 201, answer.content
    process_id, now = UUID(answer.json()["id"]), timezone.now()

    submitted, refused = 0, Counter[str]()
    for employee, orders in sold.items():
        seller = find_actor(people[employee], acme.company.pk)
        assert seller is not None
        with acting(seller):
            deals = [
                {
                    "name": f"Order {order['order_id']}",
                    "close_date": order["order_date"],
                    "custom_fields": {"discount": str(largest[order["order_id"]])},
                }
                for order in orders
            ]
            made = write(view("deal", seller), "create", deals, now=now)
            made.raise_if_refused()
        for record_id in made.ids.values():
            try:
                with acting(seller):
                    operations.submit(
                        actor=seller, process_id=process_id, entity_type="deal", record_id=record_id, now=now
                    )
                submitted += 1
            except Unprocessable as refusal:
                refused[refusal.code] += 1
    for _ in range(2):
        with acme.acting():
            waiting = list(
                ApprovalTask.objects.filter(status="open").values_list("request_id", "approver_id")
            )
        for request_id, approver_id in waiting:
            approver = find_actor(approver_id, acme.company.pk)
            assert approver is not None
            with acting(approver):
                operations.approve(actor=approver, request_id=request_id, now=now)

    expected: Counter[tuple[int, UUID]] = Counter()
    large = [item for orders in sold.values() for item in orders if largest[item["order_id"]] > 15]
    for order in large:
        manager = above[order["employee_id"]]
        expected[1, people[manager] if manager else acme.users["admin"]] += 1
        if largest[order["order_id"]] > 20:
            higher = above.get(manager, "")
            expected[2, people[higher] if higher else acme.users["admin"]] += 1
    with acme.acting():
        asked = Counter(ApprovalTask.objects.values_list("step", "approver_id"))
        statuses = Counter(ApprovalRequest.objects.values_list("status", flat=True))
    assert asked == expected
    assert submitted == len(large) == 145
    assert refused == {"not_applicable": 830 - len(large)}
    assert statuses == {"approved": len(large)}
