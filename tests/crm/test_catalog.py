"""Tags, lost reasons, products, pipelines and their stages."""

from __future__ import annotations

import pytest

from core.changes import Rows
from core.changes.models import ChangeLog
from core.identity.operations.companies import update_company
from core.kernel.errors import Invalid
from crm.models import Account, Lead, LostReason, Pipeline, PipelineStage, Product, Tag
from crm.operations import (
    create_accounts,
    create_leads,
    create_pipeline_stages,
    create_pipelines,
    create_products,
    create_tags,
    delete_lost_reasons,
    delete_pipeline_stages,
    delete_pipelines,
    delete_tags,
    update_accounts,
    update_pipeline_stages,
    update_tags,
)
from tests.crm.conftest import codes
from tests.factories.crm import (
    NOW,
    lost_reason,
    make_account,
    make_deal,
    make_lead,
    make_pipeline,
    make_product,
    make_stage,
    make_tag,
    make_task,
    stage,
)

pytestmark = pytest.mark.django_db


def ids(*records):
    return [{"id": record.pk} for record in records]


class TestTags:
    def test_unknown_ones_enter_the_catalog_with_one_spelling(self, actor):
        rows = [
            {"last_name": "a", "tags": ["VIP", "New"]},
            {"last_name": "b", "tags": ["vip"]},
            {"last_name": "c"},
        ]
        outcome = create_leads(actor=actor, rows=Rows.of(Lead, rows), now=NOW)
        found = [Lead.objects.get(pk=outcome.ids[place]).tags for place in range(3)]
        assert found == [["VIP", "New"], ["VIP"], []]
        assert sorted(Tag.objects.values_list("name", flat=True)) == ["New", "VIP"]

    def test_are_one_for_all_cases(self, actor):
        make_tag(actor, name="VIP")
        outcome = create_tags(actor=actor, rows=Rows.of(Tag, [{"name": "vip"}, {"name": ""}]), now=NOW)
        assert codes(outcome, 0) == {("name", "taken")}
        assert codes(outcome, 1) == {("name", "required")}

    def test_renamed_are_renamed_on_every_record_of_the_company_alone(self, actor, acme, globex):
        with globex.acting() as other:
            foreign = make_lead(other, tags=["VIP"])
        with acme.acting() as actor:
            lead = make_lead(actor, tags=["a", "VIP", "b"])
            account = make_account(actor, tags=["VIP"])
            untouched = make_task(actor, tags=["a"])
            tag = Tag.objects.get(name="VIP")
            update_tags(actor=actor, rows=Rows.of(Tag, [{"id": tag.pk, "name": "Gold"}]), now=NOW)
            for record in (lead, account, untouched):
                record.refresh_from_db()
            assert (lead.tags, account.tags, untouched.tags) == (["a", "Gold", "b"], ["Gold"], ["a"])
            assert (lead.version, untouched.version) == (2, 1)
            assert ChangeLog.objects.filter(entity_id=lead.pk, action="update").count() == 1
        with globex.acting():
            foreign.refresh_from_db()
            assert foreign.tags == ["VIP"]

    def test_may_trade_names_in_one_write(self, actor):
        lead = make_lead(actor, tags=["x"])
        other = make_lead(actor, tags=["x", "y"])
        first, second = Tag.objects.get(name="x"), Tag.objects.get(name="y")
        rows = [{"id": first.pk, "name": "z"}, {"id": second.pk, "name": "w"}]
        update_tags(actor=actor, rows=Rows.of(Tag, rows), now=NOW).raise_if_refused()
        lead.refresh_from_db()
        other.refresh_from_db()
        assert (lead.tags, other.tags) == (["z"], ["z", "w"])

    def test_deleted_leave_every_record(self, actor):
        lead = make_lead(actor, tags=["a", "b"])
        only = make_lead(actor, tags=["a"])
        delete_tags(
            actor=actor, rows=Rows.of(Tag, ids(Tag.objects.get(name="a"))), now=NOW
        ).raise_if_refused()
        lead.refresh_from_db()
        only.refresh_from_db()
        assert (lead.tags, only.tags) == (["b"], [])
        assert not Tag.objects.filter(name="a").exists()


class TestLostReasons:
    def test_in_use_stay(self, actor):
        used, free = LostReason.objects.filter(applies_to="deal")[:2]
        make_deal(actor, stage=stage("closed_lost").pk, lost_reason=used.pk)
        outcome = delete_lost_reasons(
            actor=actor, rows=Rows.of(LostReason, ids(used, free)), now=NOW, all_or_none=False
        )
        assert codes(outcome, 0) == {("id", "conflict")}
        assert list(LostReason.objects.filter(pk__in=[used.pk, free.pk])) == [used]

    def test_differ_by_what_they_are_for(self, actor):
        assert lost_reason("deal").applies_to == "deal"
        assert LostReason.objects.filter(name="Other").count() == 2


class TestProducts:
    def test_have_a_sku_of_their_own(self, actor):
        make_product(actor, sku="A")
        rows = [{"name": "b", "sku": "A"}, {"name": "c"}, {"name": "d"}, {"name": "e", "unit_price": "-1"}]
        outcome = create_products(actor=actor, rows=Rows.of(Product, rows), now=NOW, all_or_none=False)
        assert codes(outcome, 0) == {("sku", "taken")}
        assert codes(outcome, 3) == {("unit_price", "too_small")}
        assert set(outcome.ids) == {1, 2}


class TestPipelines:
    def test_every_company_starts_with_the_default_one(self, actor):
        assert list(
            PipelineStage.objects.filter(pipeline__is_default=True)
            .order_by("order")
            .values_list("code", "stage_type", "probability", "forecast_category")
        ) == [
            ("prospecting", "open", 10, "pipeline"),
            ("qualification", "open", 20, "pipeline"),
            ("proposal", "open", 50, "best_case"),
            ("negotiation", "open", 75, "commit"),
            ("closed_won", "won", 100, "closed"),
            ("closed_lost", "lost", 0, "omitted"),
        ]

    def test_have_one_default(self, actor, change):
        old, new = Pipeline.objects.get(is_default=True), make_pipeline(actor)
        change(new, is_default=True)
        old.refresh_from_db()
        assert (old.is_default, new.is_default) == (False, True)
        assert codes(change(new, is_default=False)) == {("is_default", "default_stays")}
        assert {code for _, code in codes(change(new, is_active=False))} == {"default_is_active"}
        third = make_pipeline(actor, is_default=True)
        assert list(Pipeline.objects.filter(is_default=True)) == [third]

    def test_have_a_name_and_code_of_their_own(self, actor):
        make_pipeline(actor, name="Partner sales")
        rows = [{"name": "partner SALES"}]
        outcome = create_pipelines(actor=actor, rows=Rows.of(Pipeline, rows), now=NOW)
        assert codes(outcome) == {("name", "taken"), ("code", "taken")}

    def test_go_with_their_stages_unless_used(self, actor):
        unused, used = make_pipeline(actor), make_pipeline(actor)
        make_deal(actor, pipeline=used.pk)
        default = Pipeline.objects.get(is_default=True)
        outcome = delete_pipelines(
            actor=actor, rows=Rows.of(Pipeline, ids(unused, used, default)), now=NOW, all_or_none=False
        )
        assert set(outcome.ids) == {0}
        assert codes(outcome, 1) == codes(outcome, 2) == {("id", "conflict")}
        assert not PipelineStage.objects.filter(pipeline_id=unused.pk).exists()


class TestPipelineStages:
    def test_come_after_the_last_of_their_type(self, actor):
        pipeline = make_pipeline(actor)
        rows = [{"pipeline": pipeline.pk, "name": "Demo"}, {"pipeline": pipeline.pk, "name": "Trial"}]
        outcome = create_pipeline_stages(actor=actor, rows=Rows.of(PipelineStage, rows), now=NOW)
        made = [PipelineStage.objects.get(pk=outcome.ids[place]) for place in (0, 1)]
        assert [(item.order, item.code, item.stage_type) for item in made] == [
            (410, "demo", "open"),
            (411, "trial", "open"),
        ]

    def test_keep_one_won_and_some_lost_and_open(self, actor, change):
        pipeline = make_pipeline(actor)
        for code in ("closed_won", "closed_lost"):
            with pytest.raises(Invalid) as refused:
                change(stage(code, pipeline), is_active=False)
            assert refused.value.faults[0].code == "stage_types_missing"

    def test_have_no_second_won_one(self, actor):
        pipeline = make_pipeline(actor)
        rows = [{"pipeline": pipeline.pk, "name": "Won too", "stage_type": "won"}]
        outcome = create_pipeline_stages(actor=actor, rows=Rows.of(PipelineStage, rows), now=NOW)
        assert {code for _, code in codes(outcome)} == {"one_won_stage"}

    def test_lead_to_stages_of_their_own_pipeline(self, actor, change):
        pipeline = make_pipeline(actor)
        first, second = stage("prospecting", pipeline), stage("qualification", pipeline)
        for wrong in ([str(stage("proposal").pk)], ["proposal"], [1], {}, str(second.pk)):
            assert codes(change(first, allowed_next=wrong)) == {("allowed_next", "not_a_choice")}
        assert not change(first, allowed_next=[str(second.pk)]).refused
        # While another leads to it, a stage cannot go.
        outcome = delete_pipeline_stages(
            actor=actor, rows=Rows.of(PipelineStage, ids(second)), now=NOW, all_or_none=False
        )
        assert codes(outcome) == {("id", "conflict")}
        change(first, allowed_next=[])
        delete_pipeline_stages(
            actor=actor, rows=Rows.of(PipelineStage, ids(second)), now=NOW
        ).raise_if_refused()

    def test_of_won_and_lost_have_their_probability(self, actor):
        pipeline = make_pipeline(actor)
        extra = make_stage(actor, pipeline=pipeline.pk, stage_type="lost", probability=40)
        assert (extra.probability, extra.forecast_category) == (0, "omitted")

    def test_may_trade_places_in_one_write(self, actor):
        first, second = stage("prospecting"), stage("qualification")
        rows = [{"id": first.pk, "order": second.order}, {"id": second.pk, "order": first.order}]
        update_pipeline_stages(actor=actor, rows=Rows.of(PipelineStage, rows), now=NOW).raise_if_refused()
        assert PipelineStage.objects.get(pk=first.pk).order == second.order
        outcome = update_pipeline_stages(
            actor=actor, rows=Rows.of(PipelineStage, [{"id": first.pk, "order": first.order}]), now=NOW
        )
        assert codes(outcome) == {("order", "taken")}

    def test_require_fields_that_deals_have(self, actor, change):
        assert codes(change(stage("proposal"), required_fields=["shoe_size"])) == {
            ("required_fields", "not_a_choice")
        }
        assert codes(change(stage("proposal"), required_fields="amount")) == {
            ("required_fields", "not_a_choice")
        }

    def test_with_deals_keep_type_and_place(self, actor, change):
        pipeline = make_pipeline(actor)
        demo = make_stage(actor, pipeline=pipeline.pk)
        make_deal(actor, stage=demo.pk)
        assert codes(change(demo, stage_type="lost")) == {("stage_type", "conflict")}
        assert codes(change(demo, pipeline=Pipeline.objects.get(is_default=True).pk)) >= {
            ("pipeline", "read_only")
        }
        outcome = delete_pipeline_stages(actor=actor, rows=Rows.of(PipelineStage, ids(demo)), now=NOW)
        assert codes(outcome) == {("id", "conflict")}
        free = make_stage(actor, pipeline=pipeline.pk)
        assert not delete_pipeline_stages(
            actor=actor, rows=Rows.of(PipelineStage, ids(free)), now=NOW
        ).refused


class TestAccounts:
    def test_have_no_circle_above_them(self, actor, change):
        top = make_account(actor)
        middle = make_account(actor, parent=top.pk)
        bottom = make_account(actor, parent=middle.pk)
        assert codes(change(top, parent=bottom.pk)) == {("parent", "cycle")}
        assert codes(change(top, parent=top.pk)) == {("parent", "cycle")}
        assert not change(bottom, parent=top.pk).refused

    def test_close_no_circle_together(self, actor):
        first, second = make_account(actor), make_account(actor)
        rows = [{"id": first.pk, "parent": second.pk}, {"id": second.pk, "parent": first.pk}]
        with pytest.raises(Invalid) as refused:
            update_accounts(actor=actor, rows=Rows.of(Account, rows), now=NOW)
        assert refused.value.faults[0].code == "cycle"

    def test_derive_what_matching_compares(self, actor):
        account = make_account(actor, name="  ACME   Rockets ", website="http://www.acme.test/x?y")
        assert (account.name_norm, account.website_domain) == ("acme rockets", "acme.test")

    def test_have_a_number_of_their_own(self, actor):
        make_account(actor, account_number="7")
        rows = [{"name": "a", "account_number": "7"}, {"name": "b"}]
        outcome = create_accounts(actor=actor, rows=Rows.of(Account, rows), now=NOW, all_or_none=False)
        assert codes(outcome, 0) == {("account_number", "taken")}

    def test_use_the_companys_currency(self, acme, globex):
        with acme.acting() as actor:
            update_company(actor, changes={"default_currency": "EUR"}, now=NOW)
            assert make_account(actor).currency == "EUR"
            assert make_account(actor, currency="CHF").currency == "CHF"
