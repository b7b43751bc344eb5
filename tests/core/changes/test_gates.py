"""A company's own rules hold at every door, beside the model's, for that company alone, from the moment they change."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from django.utils import timezone

from core.access import view
from core.changes import Rows
from core.changes.gates import GATES, Gate, GateRule, Write, gates_changed
from core.changes.refusals import REFUSALS
from core.conditions import RowCondition, compile_condition, row_condition
from core.kernel.errors import Invalid, Locked
from core.tenancy.actors import system_actor
from crm.models import Account, Lead
from crm.operations import create_accounts, create_leads, delete_leads, update_leads
from tests.worlds import World

pytestmark = pytest.mark.django_db
BIG_ACCOUNT = {"field": "number_of_employees", "operator": "gte", "value": 1000}


@dataclass
class Demands:
    """A gate whose rules a test sets, by company and entity, as conditions."""

    rules: dict[Any, list[tuple[str, str, dict[str, Any] | RowCondition, frozenset[str]]]] = field(
        default_factory=dict
    )
    asked: list[Write] = field(default_factory=list)

    def of(self, write: Write) -> Sequence[GateRule]:
        self.asked.append(write)
        source = view(write.entity, system_actor(write.company_id)) if write.entity else None
        return [
            GateRule(code, path, "It's refused, 100%.", self._when(condition, source))
            for code, path, condition, verbs in self.rules.get((write.company_id, write.entity), [])
            if write.verb in verbs
        ]

    @staticmethod
    def _when(condition: Any, source: Any) -> RowCondition:
        if isinstance(condition, RowCondition):
            return condition
        return row_condition(compile_condition(condition, source, old_values=True), source.entity)

    def add(
        self,
        world: World,
        entity: str,
        condition: Any,
        *,
        code: str = "validation_rule",
        path: str = "source",
        verbs: Sequence[str] = ("create", "update"),
    ) -> None:
        rules = self.rules.setdefault((world.company.pk, entity), [])
        rules.append((code, path, condition, frozenset(verbs)))
        with world.acting():
            gates_changed(world.company.pk)


@pytest.fixture
def demands() -> Iterator[Demands]:
    made = Demands()
    GATES._entries["test"] = Gate("test", made.of)
    yield made
    del GATES._entries["test"]


def lead(**values: Any) -> dict[str, Any]:
    return {"last_name": "Doe", "company_name": "Doe & Sons", **values}


EXPENSIVE = {
    "and": [
        {"field": "estimated_value", "operator": "gte", "value": "1000"},
        {"field": "source", "operator": "is_null"},
    ]
}


class TestRules:
    def test_refuse_through_the_api_alone_in_bulk_and_at_a_change(
        self, acme: World, demands: Demands
    ) -> None:
        demands.add(acme, "lead", EXPENSIVE)
        client = acme.client()
        refused = client.post("/api/v1/leads/", lead(estimated_value="1000.00"))
        assert refused.status_code == 400, refused.content
        assert refused.json()["errors"] == [
            {"path": "source", "code": "validation_rule", "detail": "It's refused, 100%."}
        ]
        made = client.post("/api/v1/leads/", lead(estimated_value="999.99"))
        assert made.status_code == 201
        place = f"/api/v1/leads/{made.json()['id']}/"
        assert client.patch(place, {"estimated_value": "1000.00"}).status_code == 400
        assert client.patch(place, {"estimated_value": "1000.00", "source": "web"}).status_code == 200
        bulk = client.post(
            "/api/v1/leads/bulk/",
            {
                "atomic": False,
                "operations": [
                    {"op": "create", **lead(estimated_value="5000.00")},
                    {"op": "create", **lead(estimated_value="5000.00", source="web")},
                ],
            },
        )
        statuses = [row["status"] for row in bulk.json()["results"]]
        assert statuses == [400, 201], bulk.json()

    def test_are_reported_together_with_the_models(self, acme: World, demands: Demands) -> None:
        demands.add(acme, "lead", EXPENSIVE)
        with acme.acting() as actor:
            rows = Rows.of(Lead, [{"company_name": "", "estimated_value": 2000, "owner": acme.company.pk}])
            outcome = create_leads(actor=actor, rows=rows, now=timezone.now(), all_or_none=False)
        assert {fault.code for fault in outcome.refused[0]} >= {"does_not_exist", "validation_rule"}

    def test_are_of_their_company_alone(self, acme: World, globex: World, demands: Demands) -> None:
        demands.add(acme, "lead", EXPENSIVE)
        document = lead(estimated_value="1000.00")
        assert globex.client().post("/api/v1/leads/", document).status_code == 201
        assert acme.client().post("/api/v1/leads/", document).status_code == 400

    def test_ask_what_changed_and_what_was(self, acme: World, demands: Demands) -> None:
        demands.add(
            acme,
            "lead",
            {
                "and": [
                    {"field": "old.rating", "operator": "eq", "value": "hot"},
                    {"field": "rating", "operator": "changed"},
                ]
            },
            path="rating",
            verbs=("update",),
        )
        client = acme.client()
        made = client.post("/api/v1/leads/", lead(rating="hot")).json()
        place = f"/api/v1/leads/{made['id']}/"
        assert client.patch(place, {"city": "Rome"}).status_code == 200
        assert client.patch(place, {"rating": "cold"}).status_code == 400

    def test_ask_over_relations_and_generated_values(self, acme: World, demands: Demands) -> None:
        demands.add(
            acme,
            "contact",
            {
                "and": [
                    {"field": "account.number_of_employees", "operator": "gte", "value": 1000},
                    {"field": "full_name", "operator": "eq", "value": "Ida O'Hara"},
                ]
            },
            path="account",
        )
        with acme.acting() as actor:
            rows = Rows.of(Account, [{"name": "Big", "number_of_employees": 1000}, {"name": "Small"}])
            big, small = create_accounts(actor=actor, rows=rows, now=timezone.now()).ids.values()
        client = acme.client()
        person = {"first_name": "Ida", "last_name": "O'Hara"}
        assert client.post("/api/v1/contacts/", {**person, "account": str(small)}).status_code == 201
        assert client.post("/api/v1/contacts/", {**person, "account": str(big)}).status_code == 400
        other = {"first_name": "Eda", "last_name": "O'Hara", "account": str(big)}
        assert client.post("/api/v1/contacts/", other).status_code == 201

    def test_forbid_a_deletion(self, acme: World, demands: Demands) -> None:
        demands.add(acme, "lead", {"field": "source", "operator": "eq", "value": "web"}, verbs=("delete",))
        demands.add(
            acme, "tag", {"field": "name", "operator": "eq", "value": "kept"}, path="id", verbs=("delete",)
        )
        client = acme.client()
        made = client.post("/api/v1/leads/", lead(source="web")).json()
        assert client.delete(f"/api/v1/leads/{made['id']}/").status_code == 400
        # A tag has no recycle bin: its row itself goes.
        kept = client.post("/api/v1/tags/", {"name": "kept"}).json()
        gone = client.post("/api/v1/tags/", {"name": "gone"}).json()
        assert client.delete(f"/api/v1/tags/{kept['id']}/").status_code == 400
        assert client.delete(f"/api/v1/tags/{gone['id']}/").status_code == 204

    def test_decide_the_status_by_their_code(self, acme: World, demands: Demands) -> None:
        REFUSALS._entries["locked_by_test"] = Locked
        try:
            # SQL of the gate's own, as a lock by records of another table would be.
            held = RowCondition(
                "EXISTS (SELECT FROM crm_lead x WHERE x.company_id = %(company)s AND x.id = o.id)"
            )
            demands.add(acme, "lead", held, code="locked_by_test", path="id", verbs=("update", "delete"))
            client = acme.client()
            made = client.post("/api/v1/leads/", lead()).json()
            for answer in (
                client.patch(f"/api/v1/leads/{made['id']}/", {"city": "Rome"}),
                client.delete(f"/api/v1/leads/{made['id']}/"),
                client.post(f"/api/v1/leads/{made['id']}/qualify/"),
            ):
                assert (answer.status_code, answer.json()["code"]) == (423, "locked_by_test"), answer.content
        finally:
            del REFUSALS._entries["locked_by_test"]

    def test_hold_for_operations_below_http(self, acme: World, demands: Demands) -> None:
        demands.add(acme, "lead", EXPENSIVE)
        rows = Rows.of(Lead, [lead(estimated_value=1000)])
        with acme.acting() as actor:
            outcome = create_leads(actor=actor, rows=rows, now=timezone.now())
        with pytest.raises(Invalid) as refused:
            outcome.raise_if_refused()
        assert [fault.code for fault in refused.value.faults] == ["validation_rule"]

    @pytest.mark.parametrize("is_dry", [True, False], ids=["dry run", "import"])
    def test_hold_for_imports(
        self, is_dry: bool, acme: World, demands: Demands, run: Callable[..., Any], write: Callable[..., Any]
    ) -> None:
        demands.add(acme, "lead", EXPENSIVE)
        path = write("Name,Value\nDoe,1000\nRoe,10\n")
        mapping = {"Name": "last_name", "Value": "estimated_value"}
        ended, _ = run(path, "lead", field_mapping=mapping, dry_run=is_dry)
        counts = ended.counts
        assert (counts.valid, counts.invalid, counts.created, counts.failed) == (
            (1, 1, 0, 0) if is_dry else (0, 0, 1, 1)
        )


class TestChangesOfGates:
    def test_hold_at_the_next_write_and_are_asked_for_once(self, acme: World, demands: Demands) -> None:
        client = acme.client()
        document = lead(estimated_value="1000.00")
        assert client.post("/api/v1/leads/", document).status_code == 201
        assert client.post("/api/v1/leads/", document).status_code == 201
        leads = [write for write in demands.asked if (write.entity, write.verb) == ("lead", "create")]
        assert len(leads) == 1

        demands.add(acme, "lead", EXPENSIVE)
        assert client.post("/api/v1/leads/", document).status_code == 400
        demands.rules.clear()
        assert client.post("/api/v1/leads/", document).status_code == 400, "nobody said that it changed"
        with acme.acting():
            gates_changed(acme.company.pk)
        assert client.post("/api/v1/leads/", document).status_code == 201

    def test_never_let_a_write_through_that_the_new_rule_refuses(self, acme: World, demands: Demands) -> None:
        with acme.acting() as actor:
            rows = Rows.of(Lead, [lead()])
            lead_id = create_leads(actor=actor, rows=rows, now=timezone.now()).one
            rows = Rows.of(Lead, [{"id": lead_id, "city": "Rome"}])
            update_leads(actor=actor, rows=rows, now=timezone.now()).raise_if_refused()
        demands.add(acme, "lead", {"field": "city", "operator": "changed"}, path="city")
        with acme.acting() as actor:
            rows = Rows.of(Lead, [{"id": lead_id, "city": "Oslo"}])
            outcome = update_leads(actor=actor, rows=rows, now=timezone.now())
            assert [fault.code for fault in outcome.refused[0]] == ["validation_rule"]
            assert Lead.objects.get().city == "Rome"
            delete_leads(
                actor=actor, rows=Rows.of(Lead, [{"id": lead_id}]), now=timezone.now()
            ).raise_if_refused()
