"""The CRM through its API."""

from __future__ import annotations

from typing import Any

import pytest

from core.entities import entities
from tests.factories.crm import (
    lost_reason,
    make_account,
    make_activity,
    make_activity_participant,
    make_contact,
    make_deal,
    make_deal_contact,
    make_deal_product,
    make_lead,
    make_note,
    make_product,
    make_tag,
    make_task,
    stage,
)
from tests.worlds import World

pytestmark = pytest.mark.django_db
API = "/api/v1"


def fault_codes(answer: Any) -> set[tuple[str, str]]:
    return {(fault["path"], fault["code"]) for fault in answer.json()["errors"]}


@pytest.fixture
def full(acme: World, globex: World) -> dict[str, Any]:
    """Both companies with one record of each kind; the ids are Acme's (`own`) and Globex's (`foreign`)."""
    ids = {}
    for key, world in (("own", acme), ("foreign", globex)):
        with world.acting() as actor:
            account = make_account(actor, name=f"{world.company.name} customer", tags=["Key"])
            lead = make_lead(actor, first_name="Lee", last_name=world.company.name)
            contact = make_contact(actor, account=account.pk)
            deal = make_deal(actor, account=account.pk, primary_contact=contact.pk)
            product = make_product(actor, name="Chair", sku="C-1", unit_price="10")
            line = make_deal_product(actor, deal=deal.pk, product=product.pk)
            about = {"account": account.pk, "contact": contact.pk, "lead": lead.pk, "deal": deal.pk}
            activity = make_activity(actor, **about)
            records = {
                "account": account,
                "contact": contact,
                "lead": lead,
                "deal": deal,
                "product": product,
                "deal_product": line,
                "deal_contact": make_deal_contact(actor, deal=deal.pk, contact=make_contact(actor).pk),
                "activity": activity,
                "activity_participant": make_activity_participant(
                    actor, activity=activity.pk, contact=contact.pk
                ),
                "task": make_task(actor, **about),
                "note": make_note(actor, **about),
                "tag": make_tag(actor),
                "pipeline": deal.pipeline,
                "pipeline_stage": deal.stage,
                "lost_reason": lost_reason(),
            }
            ids[key] = {name: str(record.pk) for name, record in records.items()}
    return ids


KINDS = (
    "account",
    "contact",
    "lead",
    "deal",
    "product",
    "deal_product",
    "deal_contact",
    "activity",
    "activity_participant",
    "task",
    "note",
    "tag",
    "pipeline",
    "pipeline_stage",
    "lost_reason",
)


class TestEveryKind:
    @pytest.mark.parametrize("kind", KINDS)
    def test_is_listed_and_read_in_its_own_company_only(self, kind, acme, full):
        client, path = acme.client(), f"{API}/{entities[kind].path}/"
        listed = client.get(path)
        assert listed.status_code == 200, listed.content
        found = {item["id"] for item in listed.json()["results"]}
        assert full["own"][kind] in found
        assert full["foreign"][kind] not in found
        read = client.get(f"{path}{full['own'][kind]}/")
        assert read.status_code == 200
        assert set(read.json()) == set(entities[kind].fields)
        for method in ("get", "patch", "delete"):
            answer = getattr(client, method)(
                f"{path}{full['foreign'][kind]}/", *([{}] if method == "patch" else [])
            )
            assert answer.status_code == 404

    @pytest.mark.parametrize("kind", KINDS)
    def test_takes_back_what_it_answered(self, kind, acme, full):
        client, path = acme.client(), f"{API}/{entities[kind].path}/{full['own'][kind]}/"
        before = client.get(path)
        writable = {
            name: value for name, value in before.json().items() if not entities[kind].fields[name].read_only
        }
        answer = client.put(path, writable, HTTP_IF_MATCH=before["ETag"])
        assert answer.status_code == 200, answer.content
        assert answer.json() == before.json()

    @pytest.mark.parametrize("kind", KINDS)
    def test_is_listed_by_as_many_queries_however_long(self, kind, acme, full, django_assert_max_num_queries):
        client = acme.client()
        with django_assert_max_num_queries(12):
            assert client.get(f"{API}/{entities[kind].path}/?page_size=500").status_code == 200

    @pytest.mark.parametrize(
        "kind", ["account", "contact", "lead", "deal", "product", "activity", "task", "note"]
    )
    def test_goes_to_the_recycle_bin_and_comes_back(self, kind, acme, full):
        client, path = acme.client(), f"{API}/{entities[kind].path}/{full['own'][kind]}/"
        assert client.delete(path).status_code == 204
        assert client.get(path).status_code == 404
        assert client.post(f"{path}restore/").status_code == 200
        assert client.get(path).status_code == 200


class TestSearch:
    def test_finds_by_the_parts_of_an_address_and_nothing_of_others(self, acme, full):
        client = acme.client()
        with acme.acting() as actor:
            lead = make_lead(actor, last_name="Zuse", email="konrad.zuse@z3-works.test")
        for words in ("zuse", "konrad works", "z3-wor", "KONRAD.ZUSE@z3"):
            answer = client.get(f"{API}/leads/", {"search": words})
            assert [item["id"] for item in answer.json()["results"]] == [str(lead.pk)], words
        assert client.get(f"{API}/leads/?search=Globex").json()["results"] == []


class TestDealActions:
    def test_move_win_reopen_and_lose(self, acme, full):
        client, deal = acme.client(), f"{API}/deals/{full['own']['deal']}/"
        with acme.acting():
            proposal, reason = str(stage("proposal").pk), str(lost_reason().pk)
        moved = client.post(f"{deal}move/", {"stage": proposal})
        assert moved.status_code == 200, moved.content
        assert (moved.json()["probability"], moved.json()["stage"]) == (50, proposal)
        stale = client.post(f"{deal}move/", {"stage": proposal, "expected_version": 1})
        assert stale.status_code == 412
        won = client.post(f"{deal}win/")
        assert (won.json()["status"], won.json()["is_won"]) == ("won", True)
        assert client.post(f"{deal}lose/", {"lost_reason": reason}).status_code == 409
        assert client.post(f"{deal}reopen/").json()["stage"] == proposal
        assert fault_codes(client.post(f"{deal}lose/", {})) == {("lost_reason", "required")}
        assert client.post(f"{deal}lose/", {"lost_reason": reason}).json()["status"] == "lost"
        history = client.get(f"{deal}stage-history/").json()
        assert history["count"] == 5

    def test_refuse_what_lost_needs_and_strange_keys(self, acme, full):
        client, deal = acme.client(), f"{API}/deals/{full['own']['deal']}/"
        with acme.acting():
            lost = str(stage("closed_lost").pk)
        assert fault_codes(client.post(f"{deal}move/", {"stage": lost})) == {
            ("lost_reason", "lost_reason_required")
        }
        assert fault_codes(client.post(f"{deal}win/", {"x": 1})) == {("x", "unknown_field")}

    def test_answer_404_for_another_companys_deal(self, acme, full):
        client = acme.client()
        for verb in ("move", "win", "lose", "reopen"):
            answer = client.post(f"{API}/deals/{full['foreign']['deal']}/{verb}/", {})
            assert answer.status_code == 404, verb

    def test_are_refused_to_who_may_only_read(self, acme, full):
        answer = acme.client("viewer").post(f"{API}/deals/{full['own']['deal']}/win/")
        assert answer.status_code == 403


class TestDealLines:
    def test_are_added_below_the_deal_and_decide_its_amount(self, acme, full):
        client, deal = acme.client(), f"{API}/deals/{full['own']['deal']}/"
        line = client.post(f"{deal}products/", {"product": full["own"]["product"], "quantity": "2.5"})
        assert line.status_code == 201, line.content
        assert (line.json()["total"], line.json()["name"]) == ("25.00", "Chair")
        read = client.get(deal).json()
        assert (read["amount"], read["amount_source"]) == ("35.00", "calculated")
        assert fault_codes(client.patch(deal, {"amount": "1.00"})) == {("amount", "calculated")}
        assert client.delete(f"{deal}products/{line.json()['id']}/").status_code == 204
        assert client.get(deal).json()["amount"] == "10.00"

    def test_stay_out_of_other_deals(self, acme, full):
        client = acme.client()
        foreign = f"{API}/deals/{full['foreign']['deal']}/products/"
        assert client.get(foreign).status_code == 404
        assert client.post(foreign, {"name": "x", "unit_price": "1"}).status_code == 404
        body = {"product": full["foreign"]["product"]}
        answer = client.post(f"{API}/deals/{full['own']['deal']}/products/", body)
        assert ("product", "does_not_exist") in fault_codes(answer)


class TestDealContacts:
    def test_are_added_below_the_deal_and_one_is_primary(self, acme, full):
        client, deal = acme.client(), f"{API}/deals/{full['own']['deal']}/"
        with acme.acting() as actor:
            newcomer = str(make_contact(actor).pk)
        made = client.post(f"{deal}contacts/", {"contact": newcomer, "role": "champion", "is_primary": True})
        assert made.status_code == 201, made.content
        assert (made.json()["is_primary"], made["ETag"]) == (True, f'"{made.json()["version"]}"')
        assert client.get(deal).json()["primary_contact"] == newcomer
        primary = client.get(f"{deal}contacts/?is_primary=true").json()["results"]
        assert [item["contact"] for item in primary] == [newcomer]
        assert client.get(f"{deal}contacts/").json()["count"] == 3
        assert client.patch(deal, {"primary_contact": full["own"]["contact"]}).status_code == 200
        item = f"{deal}contacts/{made.json()['id']}/"
        assert client.get(item).json()["is_primary"] is False
        assert client.delete(item).status_code == 204

    def test_stay_out_of_other_deals_and_companies(self, acme, full):
        client = acme.client()
        foreign = f"{API}/deals/{full['foreign']['deal']}/contacts/"
        assert client.get(foreign).status_code == 404
        assert client.post(foreign, {"contact": full["own"]["contact"]}).status_code == 404
        answer = client.post(
            f"{API}/deals/{full['own']['deal']}/contacts/", {"contact": full["foreign"]["contact"]}
        )
        assert ("contact", "does_not_exist") in fault_codes(answer)


class TestParticipants:
    def test_are_added_below_the_activity(self, acme, full):
        client, path = acme.client(), f"{API}/activities/{full['own']['activity']}/participants/"
        made = client.post(path, {"user": str(acme.users["sales"]), "is_organizer": True})
        assert made.status_code == 201, made.content
        assert (made.json()["kind"], made.json()["response"]) == ("user", "none")
        assert client.get(path).json()["count"] == 2
        answer = client.patch(f"{path}{made.json()['id']}/", {"response": "accepted"})
        assert answer.json()["response"] == "accepted"
        assert fault_codes(client.post(path, {"email": "no address"})) == {("email", "not_an_email")}

    def test_stay_out_of_other_companies(self, acme, globex, full):
        client = acme.client()
        foreign = f"{API}/activities/{full['foreign']['activity']}/participants/"
        assert client.get(foreign).status_code == 404
        path = f"{API}/activities/{full['own']['activity']}/participants/"
        for body in ({"lead": full["foreign"]["lead"]}, {"user": str(globex.users["sales"])}):
            assert {code for _, code in fault_codes(client.post(path, body))} == {"does_not_exist"}


class TestLeadActions:
    def test_qualify_assign_and_disqualify(self, acme, full):
        client, lead = acme.client(), f"{API}/leads/{full['own']['lead']}/"
        assert client.post(f"{lead}qualify/").json()["status"] == "qualified"
        sales = str(acme.users["sales"])
        assert client.post(f"{lead}assign/", {"owner": sales}).json()["owner"] == sales
        done = client.post(f"{lead}disqualify/", {"status_reason": "No budget"}).json()
        assert (done["status"], done["status_type"]) == ("unqualified", "lost")

    def test_convert_answers_the_same_the_second_time(self, acme, full):
        client, lead = acme.client(), f"{API}/leads/{full['own']['lead']}/"
        plan = client.post(f"{lead}convert/", {"dry_run": True}).json()
        assert (plan["creates_contact"], plan["contact"]) == (True, None)
        first = client.post(f"{lead}convert/", {"deal_name": "First", "deal_amount": "12.50"})
        assert first.status_code == 200, first.content
        second = client.post(f"{lead}convert/")
        assert second.json() | {"repeated": False} == first.json() | {
            "creates_account": False,
            "creates_contact": False,
            "creates_deal": False,
        }
        deal = client.get(f"{API}/deals/{first.json()['deal']}/").json()
        assert (deal["name"], deal["amount"], deal["lead"]) == ("First", "12.50", full["own"]["lead"])
        read = client.get(lead).json()
        assert (read["status"], read["converted_deal"]) == ("converted", first.json()["deal"])
        assert ("last_name", "converted") in fault_codes(client.patch(lead, {"last_name": "New"}))

    def test_refuse_another_companys_records(self, acme, full):
        client = acme.client()
        assert client.post(f"{API}/leads/{full['foreign']['lead']}/convert/").status_code == 404
        answer = client.post(
            f"{API}/leads/{full['own']['lead']}/convert/", {"account": full["foreign"]["account"]}
        )
        assert fault_codes(answer) == {("account", "does_not_exist")}

    def test_converted_is_not_open(self, acme, full):
        client = acme.client()
        client.post(f"{API}/leads/{full['own']['lead']}/convert/")
        answer = client.get(f"{API}/leads/", {"status_type__in": "open,ongoing,on_hold"})
        assert answer.json()["count"] == 0


class TestPipelines:
    def test_show_their_stages_in_order(self, acme, full):
        client = acme.client()
        made = client.post(f"{API}/pipelines/", {"name": "Partners"})
        assert made.status_code == 201, made.content
        stages = client.get(f"{API}/pipelines/{made.json()['id']}/stages/").json()["results"]
        assert [item["code"] for item in stages][:2] == ["prospecting", "qualification"]
        added = client.post(
            f"{API}/pipelines/{made.json()['id']}/stages/", {"name": "Demo", "probability": 30}
        )
        assert (added.status_code, added.json()["order"]) == (201, 410)

    def test_write_html_of_notes(self, acme, full):
        answer = acme.client().post(f"{API}/notes/", {"body": "# Hi", "deal": full["own"]["deal"]})
        assert answer.json()["body_html"] == "<h1>Hi</h1>\n"
