"""Leads and what becomes of them."""

from __future__ import annotations

import threading
from datetime import date, timedelta
from decimal import Decimal

import pytest
from django.db import connection

from core.changes import Rows
from core.kernel.errors import Forbidden, Invalid, NotFound, Stale
from crm.models import Account, Activity, Contact, Deal, Lead, Note, Task
from crm.operations import (
    ConversionOptions,
    assign_lead,
    convert_lead,
    create_leads,
    disqualify_lead,
    qualify_lead,
    update_leads,
)
from crm.operations.conversion import quarter_end
from tests.crm.conftest import codes
from tests.factories.crm import (
    NOW,
    lost_reason,
    make_account,
    make_activity,
    make_contact,
    make_lead,
    make_note,
    make_task,
    stage,
)

pytestmark = pytest.mark.django_db


class TestCreateLeads:
    def test_needs_a_last_name_or_a_company(self, actor):
        outcome = create_leads(actor=actor, rows=Rows.of(Lead, [{"first_name": "Ann"}]), now=NOW)
        assert {code for _, code in codes(outcome)} == {"required"}
        assert make_lead(actor, last_name="", company_name="Initech").status == "new"

    def test_derives_what_matching_compares(self, actor):
        lead = make_lead(
            actor,
            first_name="Ann",
            last_name="Lee",
            email=" Ann@Example.COM",
            phone="+49 (30) 1234-5",
            website="https://www.Example.com:8080/about?x",
        )
        assert (lead.full_name, lead.email_norm, lead.phone_norm, lead.website_domain) == (
            "Ann Lee",
            "ann@example.com",
            "493012345",
            "example.com",
        )

    def test_cannot_be_born_converted(self, actor):
        outcome = create_leads(
            actor=actor, rows=Rows.of(Lead, [{"last_name": "x", "status": "converted"}]), now=NOW
        )
        assert codes(outcome) == {("status", "converted")}

    def test_refuses_an_owner_of_another_company(self, actor, globex):
        row = {"last_name": "x", "owner": globex.users["sales"]}
        outcome = create_leads(actor=actor, rows=Rows.of(Lead, [row]), now=NOW)
        assert codes(outcome) == {("owner", "does_not_exist")}

    def test_refuses_an_external_id_that_is_taken(self, actor):
        make_lead(actor, external_source="crm", external_id="1")
        rows = [
            {"last_name": "a", "external_source": "crm", "external_id": "1"},
            {"last_name": "b", "external_source": "crm", "external_id": "2"},
            {"last_name": "c", "external_source": "crm", "external_id": "2"},
            {"last_name": "d", "external_source": "erp", "external_id": "1"},
            {"last_name": "e", "external_source": "crm", "external_id": ""},
        ]
        outcome = create_leads(actor=actor, rows=Rows.of(Lead, rows), now=NOW, all_or_none=False)
        assert set(outcome.refused) == {0, 2}
        assert codes(outcome, 0) == codes(outcome, 2) == {("external_id", "taken")}

    def test_costs_as_many_statements_for_many_as_for_one(
        self, actor, gates_known, django_assert_num_queries
    ):
        rows = [
            {"last_name": f"Lead {n}", "email": f"l{n}@example.com", "tags": ["web"]} for n in range(10_000)
        ]
        with django_assert_num_queries(2):
            outcome = create_leads(actor=actor, rows=Rows.of(Lead, rows), now=NOW)
        assert len(outcome.ids) == 10_000
        changes = [{"id": key, "status": "contacted"} for key in outcome.ids.values()]
        with django_assert_num_queries(1):
            update_leads(actor=actor, rows=Rows.of(Lead, changes), now=NOW).raise_if_refused()


class TestWorkingLeads:
    def test_qualify_keeps_the_time(self, actor):
        lead = make_lead(actor)
        qualify_lead(actor=actor, lead_id=lead.pk, now=NOW + timedelta(days=1))
        lead.refresh_from_db()
        assert (lead.status, lead.qualified_at) == ("qualified", NOW + timedelta(days=1))

    def test_disqualify_takes_a_reason_of_leads(self, actor, change):
        lead = make_lead(actor)
        with pytest.raises(Invalid) as refused:
            disqualify_lead(actor=actor, lead_id=lead.pk, reason_id=lost_reason("deal").pk, now=NOW)
        assert refused.value.faults[0].code == "not_for_leads"
        disqualify_lead(
            actor=actor, lead_id=lead.pk, reason_id=lost_reason("lead").pk, status_reason="x", now=NOW
        )
        lead.refresh_from_db()
        assert (lead.status, lead.disqualified_reason) == ("unqualified", lost_reason("lead"))
        change(lead, status="recycled")
        assert lead.disqualified_reason is None

    def test_assign_gives_it_away_and_keeps_the_time(self, actor, acme):
        lead = make_lead(actor)
        assert (lead.owner_id, lead.assigned_at) == (actor.user_id, NOW)
        later = NOW + timedelta(days=2)
        assign_lead(actor=actor, lead_id=lead.pk, owner_id=acme.users["sales"], now=later)
        lead.refresh_from_db()
        assert (lead.owner_id, lead.assigned_at) == (acme.users["sales"], later)


class TestConvertLead:
    def test_makes_account_contact_and_deal(self, actor):
        lead = make_lead(
            actor,
            first_name="Ann",
            last_name="Lee",
            company_name="Initech",
            email="ann@initech.test",
            website="initech.test",
            source="web",
            estimated_value="1500.00",
            city="Austin",
            country="US",
            tags=["hot one"],
        )
        made = convert_lead(actor=actor, lead_id=lead.pk, now=NOW)
        account, contact, deal = (
            Account.objects.get(pk=made.account_id),
            Contact.objects.get(pk=made.contact_id),
            Deal.objects.get(pk=made.deal_id),
        )
        assert (account.name, account.billing_city, account.source) == ("Initech", "Austin", "web")
        assert (contact.full_name, contact.account, contact.email) == ("Ann Lee", account, "ann@initech.test")
        assert (deal.name, deal.account, deal.primary_contact, deal.lead) == (
            "Initech",
            account,
            contact,
            lead,
        )
        assert (deal.amount, deal.close_date, deal.stage.code) == (
            Decimal("1500.00"),
            date(2026, 6, 30),
            "prospecting",
        )
        assert contact.tags == ["hot one"]
        lead.refresh_from_db()
        assert (lead.status, lead.converted_at, lead.converted_by_id) == ("converted", NOW, actor.user_id)
        assert (lead.converted_account, lead.converted_contact, lead.converted_deal) == (
            account,
            contact,
            deal,
        )

    def test_answers_a_second_call_with_the_first_result(self, actor):
        lead = make_lead(actor, company_name="Initech")
        first = convert_lead(actor=actor, lead_id=lead.pk, now=NOW)
        second = convert_lead(actor=actor, lead_id=lead.pk, now=NOW + timedelta(days=1))
        assert second.repeated
        assert (second.account_id, second.contact_id, second.deal_id) == (
            first.account_id,
            first.contact_id,
            first.deal_id,
        )
        assert (Account.objects.count(), Contact.objects.count(), Deal.objects.count()) == (1, 1, 1)

    def test_takes_along_what_was_about_the_lead(self, actor):
        lead = make_lead(actor, company_name="Initech")
        activity = make_activity(actor, lead=lead.pk)
        task = make_task(actor, lead=lead.pk)
        note = make_note(actor, lead=lead.pk)
        other = make_task(actor)
        made = convert_lead(actor=actor, lead_id=lead.pk, now=NOW)
        for model, record in ((Activity, activity), (Task, task), (Note, note)):
            found = model.objects.get(pk=record.pk)
            assert (found.account_id, found.contact_id, found.deal_id, found.lead_id) == (
                made.account_id,
                made.contact_id,
                made.deal_id,
                lead.pk,
            )
        other.refresh_from_db()
        assert other.deal_id is None

    @pytest.mark.parametrize(
        "known", [{"name": "  initech "}, {"name": "Other", "website": "https://www.initech.test/"}]
    )
    def test_links_an_account_of_the_same_name_or_domain(self, actor, known):
        account = make_account(actor, **known)
        contact = make_contact(actor, account=account.pk, email="ANN@initech.test")
        lead = make_lead(actor, company_name="Initech", website="initech.test", email="ann@initech.test")
        made = convert_lead(actor=actor, lead_id=lead.pk, now=NOW)
        assert (made.account_id, made.contact_id) == (account.pk, contact.pk)
        assert (made.creates_account, made.creates_contact, made.creates_deal) == (False, False, True)

    def test_does_not_link_another_companys_account(self, actor, acme, globex):
        with globex.acting() as other:
            foreign = make_account(other, name="Initech")
        with acme.acting() as actor:
            lead = make_lead(actor, company_name="Initech")
            made = convert_lead(actor=actor, lead_id=lead.pk, now=NOW)
            assert made.account_id != foreign.pk
            options = ConversionOptions(account_id=foreign.pk)
            with pytest.raises(Invalid) as refused:
                convert_lead(actor=actor, lead_id=make_lead(actor).pk, now=NOW, options=options)
            assert (refused.value.faults[0].path, refused.value.faults[0].code) == (
                "account",
                "does_not_exist",
            )

    def test_uses_what_is_given(self, actor):
        account = make_account(actor)
        contact = make_contact(actor)
        lead = make_lead(actor, company_name="Initech", source="event")
        options = ConversionOptions(
            account_id=account.pk,
            contact_id=contact.pk,
            deal_name="Big one",
            deal_amount=Decimal("9.50"),
            close_date=date(2026, 12, 24),
            stage_id=stage("proposal").pk,
            overwrite_source=True,
        )
        made = convert_lead(actor=actor, lead_id=lead.pk, now=NOW, options=options)
        deal = Deal.objects.get(pk=made.deal_id)
        assert (deal.name, deal.amount, deal.stage.code) == ("Big one", Decimal("9.50"), "proposal")
        account.refresh_from_db()
        contact.refresh_from_db()
        assert (account.source, contact.lead_source) == ("event", "event")

    def test_makes_no_deal_when_none_is_wanted(self, actor):
        options = ConversionOptions(create_deal=False)
        made = convert_lead(actor=actor, lead_id=make_lead(actor).pk, now=NOW, options=options)
        assert made.deal_id is None
        assert Deal.objects.count() == 0

    def test_of_a_company_alone_makes_no_contact(self, actor):
        lead = make_lead(actor, last_name="", company_name="Initech")
        made = convert_lead(actor=actor, lead_id=lead.pk, now=NOW)
        assert made.contact_id is None
        assert made.account_id is not None

    def test_in_a_dry_run_says_what_it_would_do_and_does_nothing(self, actor):
        lead = make_lead(actor, company_name="Initech")
        plan = convert_lead(actor=actor, lead_id=lead.pk, now=NOW, dry_run=True)
        assert (plan.creates_account, plan.creates_contact, plan.creates_deal) == (True, True, True)
        lead.refresh_from_db()
        assert lead.status == "new"
        assert Account.objects.count() == 0

    def test_names_what_could_not_be_made(self, actor):
        options = ConversionOptions(pipeline_id=make_lead(actor).pk)
        with pytest.raises(Invalid) as refused:
            convert_lead(actor=actor, lead_id=make_lead(actor).pk, now=NOW, options=options)
        assert {fault.path.split(".")[0] for fault in refused.value.faults} == {"deal"}

    def test_refuses_a_version_that_moved_on(self, actor):
        with pytest.raises(Stale):
            convert_lead(actor=actor, lead_id=make_lead(actor).pk, now=NOW, expected_version=7)

    def test_refuses_a_lead_of_another_company(self, actor, acme, globex):
        with globex.acting() as other:
            foreign = make_lead(other).pk
        with acme.acting() as actor, pytest.raises(NotFound):
            convert_lead(actor=actor, lead_id=foreign, now=NOW)

    def test_refuses_who_may_not_create_what_it_makes(self, acme, globex):
        with acme.acting() as actor:
            lead = make_lead(actor)
        with acme.acting("viewer") as viewer, pytest.raises(Forbidden):
            convert_lead(actor=viewer, lead_id=lead.pk, now=NOW)

    def test_is_final(self, actor, change):
        lead = make_lead(actor, company_name="Initech")
        convert_lead(actor=actor, lead_id=lead.pk, now=NOW)
        lead.refresh_from_db()
        assert ("last_name", "converted") in codes(change(lead, last_name="Else"))
        assert ("status", "converted") in codes(change(lead, status="new"))
        assert not change(lead, description="May still be described").refused

    @pytest.mark.parametrize(
        ("day", "end"),
        [
            (date(2026, 1, 1), date(2026, 3, 31)),
            (date(2026, 5, 20), date(2026, 6, 30)),
            (date(2026, 12, 31), date(2026, 12, 31)),
        ],
    )
    def test_expects_the_deal_by_the_end_of_the_quarter(self, day, end):
        assert quarter_end(day) == end


@pytest.mark.django_db(transaction=True)
class TestConcurrentConversion:
    def test_makes_one_of_each(self, acme, globex):
        with acme.acting() as actor:
            lead_id = make_lead(actor, company_name="Initech").pk
        made, errors = [], []
        barrier = threading.Barrier(6)

        def convert() -> None:
            try:
                barrier.wait()
                with acme.acting() as actor:
                    made.append(convert_lead(actor=actor, lead_id=lead_id, now=NOW))
            except Exception as error:
                errors.append(error)
            finally:
                connection.close()

        threads = [threading.Thread(target=convert) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not errors
        assert sum(not one.repeated for one in made) == 1
        assert len({(one.account_id, one.contact_id, one.deal_id) for one in made}) == 1
        with acme.acting():
            assert (Account.objects.count(), Contact.objects.count(), Deal.objects.count()) == (1, 1, 1)
