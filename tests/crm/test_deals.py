"""Deals: what follows from the stage, the rules tied to it, the moves and their history."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest

from core.changes import Rows
from core.kernel.errors import Conflict, Invalid, NotFound, Stale
from crm.models import Deal, DealProduct, DealStageHistory, Pipeline, PipelineStage
from crm.operations import (
    create_deal_products,
    create_deals,
    delete_deal_products,
    lose_deal,
    move_deal,
    reopen_deal,
    update_deals,
    update_pipeline_stages,
    update_pipelines,
    win_deal,
)
from tests.crm.conftest import codes
from tests.factories.crm import (
    NOW,
    lost_reason,
    make_account,
    make_deal,
    make_deal_product,
    make_pipeline,
    make_product,
    make_stage,
    stage,
)

pytestmark = pytest.mark.django_db


class TestCreateDeals:
    def test_fills_in_what_was_not_said(self, actor):
        deal = make_deal(actor)
        assert deal.pipeline == Pipeline.objects.get(is_default=True)
        assert deal.stage.code == "prospecting"
        assert (deal.status, deal.is_closed, deal.is_won) == ("open", False, False)
        assert (deal.probability, deal.probability_overridden) == (10, False)
        assert (deal.forecast_category, deal.forecast_category_overridden) == ("pipeline", False)
        assert deal.owner_id == actor.user_id
        assert deal.currency == "USD"
        assert deal.stage_changed_at == NOW
        assert deal.amount == 0
        assert deal.closed_at is None

    def test_takes_the_pipeline_of_a_given_stage(self, actor):
        other = make_pipeline(actor)
        deal = make_deal(actor, stage=stage("proposal", other).pk)
        assert deal.pipeline == other
        assert (deal.probability, deal.forecast_category) == (50, "best_case")

    def test_takes_the_first_open_stage_of_a_given_pipeline(self, actor):
        other = make_pipeline(actor)
        assert make_deal(actor, pipeline=other.pk).stage == stage("prospecting", other)

    def test_refuses_a_stage_of_another_pipeline(self, actor):
        other = make_pipeline(actor)
        row = {
            "name": "x",
            "close_date": "2026-06-30",
            "pipeline": other.pk,
            "stage": stage("proposal").pk,
        }
        outcome = create_deals(actor=actor, rows=Rows.of(Deal, [row]), now=NOW)
        assert codes(outcome) == {("stage", "stage_not_in_pipeline")}

    def test_refuses_a_stage_of_another_company(self, actor, acme, globex):
        with globex.acting():
            foreign = stage("proposal").pk
        with acme.acting() as actor:
            row = {"name": "x", "close_date": "2026-06-30", "stage": foreign}
            outcome = create_deals(actor=actor, rows=Rows.of(Deal, [row]), now=NOW)
        assert ("stage", "does_not_exist") in codes(outcome)

    def test_refuses_a_stage_or_pipeline_out_of_use(self, actor):
        other = make_pipeline(actor)
        extra = make_stage(actor, pipeline=other.pk, is_active=False)
        row = {"name": "x", "close_date": "2026-06-30", "stage": extra.pk}
        outcome = create_deals(actor=actor, rows=Rows.of(Deal, [row]), now=NOW)
        assert codes(outcome) == {("stage", "inactive")}
        update_pipelines(
            actor=actor, rows=Rows.of(Pipeline, [{"id": other.pk, "is_active": False}]), now=NOW
        ).raise_if_refused()
        row = {"name": "x", "close_date": "2026-06-30", "pipeline": other.pk}
        outcome = create_deals(actor=actor, rows=Rows.of(Deal, [row]), now=NOW)
        assert codes(outcome) == {("pipeline", "inactive")}

    def test_says_everything_that_is_wrong_with_a_row(self, actor):
        rows = [
            {"name": "", "amount": "-1", "probability": 101},
            {"name": "fine", "close_date": "2026-06-30"},
        ]
        outcome = create_deals(actor=actor, rows=Rows.of(Deal, rows), now=NOW, all_or_none=False)
        assert codes(outcome) == {
            ("name", "required"),
            ("close_date", "required"),
            ("amount", "too_small"),
            ("probability", "out_of_range"),
        }
        assert list(outcome.ids) == [1]

    def test_keeps_a_given_probability_and_category(self, actor):
        deal = make_deal(actor, probability=33, forecast_category="commit")
        assert (deal.probability, deal.probability_overridden) == (33, True)
        assert (deal.forecast_category, deal.forecast_category_overridden) == ("commit", True)

    def test_brings_in_a_deal_that_was_closed_long_ago(self, actor):
        closed_at = datetime(2020, 3, 1, tzinfo=UTC)
        deal = make_deal(actor, stage=stage("closed_won").pk, closed_at=closed_at.isoformat())
        assert (deal.status, deal.closed_at) == ("won", closed_at)


class TestExpectedAmount:
    @pytest.mark.parametrize(
        ("amount", "probability", "currency", "expected"),
        [
            ("1000.00", 25, "USD", "250.00"),
            ("0.99", 50, "EUR", "0.50"),
            ("0.01", 50, "EUR", "0.01"),
            ("101", 50, "JPY", "51.00"),
            ("1000", 0, "USD", "0.00"),
        ],
    )
    def test_is_rounded_once_to_the_minor_unit(self, actor, amount, probability, currency, expected):
        deal = make_deal(actor, amount=amount, probability=probability, currency=currency)
        assert deal.expected_amount == Decimal(expected)

    def test_of_a_won_deal_is_its_amount_and_of_a_lost_one_nothing(self, actor):
        won = make_deal(actor, amount="77.70", stage=stage("closed_won").pk)
        lost = make_deal(actor, amount="77.70", stage=stage("closed_lost").pk, lost_reason=lost_reason().pk)
        assert (won.expected_amount, won.forecast_category) == (Decimal("77.70"), "closed")
        assert (lost.expected_amount, lost.forecast_category) == (Decimal("0.00"), "omitted")


class TestChangingTheStage:
    def test_re_defaults_probability_and_category(self, actor):
        deal = make_deal(actor)
        move_deal(actor=actor, deal_id=deal.pk, stage_id=stage("negotiation").pk, now=NOW)
        deal.refresh_from_db()
        assert (deal.probability, deal.forecast_category) == (75, "commit")

    def test_keeps_what_somebody_set(self, actor, change):
        deal = make_deal(actor)
        change(deal, probability=42)
        move_deal(actor=actor, deal_id=deal.pk, stage_id=stage("negotiation").pk, now=NOW)
        deal.refresh_from_db()
        assert (deal.probability, deal.probability_overridden) == (42, True)
        assert (deal.forecast_category, deal.forecast_category_overridden) == ("commit", False)

    def test_keeps_a_value_sent_with_the_move_even_if_it_is_the_old_one(self, actor, change):
        deal = make_deal(actor)
        change(deal, stage=stage("negotiation").pk, probability=10)
        assert (deal.probability, deal.probability_overridden) == (10, True)

    def test_follows_the_stage_again_when_the_flag_is_taken_off(self, actor, change):
        deal = make_deal(actor, probability=42)
        change(deal, probability_overridden=False)
        assert (deal.probability, deal.probability_overridden) == (10, False)

    def test_leaves_a_record_sent_back_as_it_was_read_alone(self, actor, change):
        deal = make_deal(actor)
        outcome = change(
            deal,
            probability=10,
            probability_overridden=False,
            forecast_category="pipeline",
            forecast_category_overridden=False,
            amount="0.00",
            stage=deal.stage_id,
            pipeline=deal.pipeline_id,
        )
        assert outcome.unchanged == {0}
        assert deal.version == 1

    def test_moves_to_the_first_stage_of_another_pipeline(self, actor, change):
        other = make_pipeline(actor)
        deal = make_deal(actor, stage=stage("negotiation").pk)
        change(deal, pipeline=other.pk)
        assert deal.stage == stage("prospecting", other)
        assert deal.probability == 10

    def test_takes_the_new_stages_pipeline_along(self, actor, change):
        other = make_pipeline(actor)
        deal = make_deal(actor)
        change(deal, stage=stage("proposal", other).pk)
        assert deal.pipeline == other

    def test_demands_the_fields_that_the_stage_requires(self, actor, change):
        proposal = stage("proposal")
        update_pipeline_stages(
            actor=actor,
            rows=Rows.of(PipelineStage, [{"id": proposal.pk, "required_fields": ["next_step", "account"]}]),
            now=NOW,
        ).raise_if_refused()
        deal = make_deal(actor)
        outcome = change(deal, stage=proposal.pk, next_step="Call")
        assert codes(outcome) == {("account", "required_in_stage")}
        outcome = change(deal, stage=proposal.pk, next_step="Call", account=make_account(actor).pk)
        assert not outcome.refused
        # Only entering asks; what is in the stage may be edited.
        assert not change(deal, next_step="").refused

    def test_skips_no_stage_where_the_pipeline_forbids_it(self, actor, change):
        update_pipelines(
            actor=actor,
            rows=Rows.of(
                Pipeline, [{"id": Pipeline.objects.get(is_default=True).pk, "enforce_stage_order": True}]
            ),
            now=NOW,
        ).raise_if_refused()
        deal = make_deal(actor)
        assert codes(change(deal, stage=stage("proposal").pk)) == {("stage", "stage_skipped")}
        assert codes(change(deal, stage=stage("closed_won").pk)) == {("stage", "stage_skipped")}
        assert not change(deal, stage=stage("qualification").pk).refused
        assert not change(deal, stage=stage("prospecting").pk).refused
        assert not change(deal, stage=stage("closed_lost").pk, lost_reason=lost_reason().pk).refused

    def test_goes_only_where_the_stage_allows(self, actor, change):
        allowed = [str(stage("proposal").pk), str(stage("closed_lost").pk)]
        change(stage("prospecting"), allowed_next=allowed)
        deal = make_deal(actor)
        for code in ("negotiation", "closed_won"):
            assert codes(change(deal, stage=stage(code).pk)) == {("stage", "transition_not_allowed")}
        assert not change(deal, name="Renamed").refused
        # Another pipeline has stages of its own.
        elsewhere = make_deal(actor)
        assert not change(elsewhere, pipeline=make_pipeline(actor).pk).refused
        assert not change(deal, stage=stage("proposal").pk).refused
        # A stage that names none allows any.
        assert not change(deal, stage=stage("prospecting").pk).refused
        with pytest.raises(Invalid) as refused:
            win_deal(actor=actor, deal_id=deal.pk, now=NOW)
        assert [fault.code for fault in refused.value.faults] == ["transition_not_allowed"]

    def test_counts_how_often_the_close_date_moved_to_a_later_month(self, actor, change):
        deal = make_deal(actor, close_date="2026-06-10")
        for day, count in (("2026-06-30", 0), ("2026-07-01", 1), ("2026-05-01", 1), ("2027-01-01", 2)):
            change(deal, close_date=day)
            assert deal.push_count == count


class TestClosing:
    def test_lost_needs_a_reason(self, actor):
        deal = make_deal(actor)
        with pytest.raises(Invalid) as refused:
            lose_deal(actor=actor, deal_id=deal.pk, lost_reason_id=None, now=NOW)
        assert [fault.code for fault in refused.value.faults] == ["lost_reason_required"]
        assert refused.value.faults[0].path == "lost_reason"

    def test_lost_needs_a_reason_that_is_for_deals(self, actor):
        deal = make_deal(actor)
        with pytest.raises(Invalid) as refused:
            lose_deal(actor=actor, deal_id=deal.pk, lost_reason_id=lost_reason("lead").pk, now=NOW)
        assert [fault.code for fault in refused.value.faults] == ["not_for_deals"]

    def test_forces_probability_whatever_was_sent(self, actor, change):
        deal = make_deal(actor)
        change(deal, stage=stage("closed_won").pk, probability=5, forecast_category="pipeline")
        assert (deal.probability, deal.forecast_category, deal.status) == (100, "closed", "won")
        other = make_deal(actor, probability=66, stage=stage("closed_lost").pk, lost_reason=lost_reason().pk)
        assert (other.probability, other.forecast_category, other.status) == (0, "omitted", "lost")

    def test_won_sets_the_time(self, actor):
        deal = make_deal(actor)
        win_deal(actor=actor, deal_id=deal.pk, now=NOW + timedelta(days=3))
        deal.refresh_from_db()
        assert (deal.status, deal.is_won, deal.closed_at) == ("won", True, NOW + timedelta(days=3))

    def test_an_open_deal_has_neither_reason_nor_time_of_closing(self, actor, change):
        deal = make_deal(actor)
        assert codes(change(deal, lost_reason=lost_reason().pk)) == {("lost_reason", "not_lost")}
        assert codes(change(deal, closed_at=NOW.isoformat())) == {("closed_at", "not_closed")}

    def test_won_and_lost_do_not_swap_without_reopening(self, actor):
        deal = make_deal(actor)
        win_deal(actor=actor, deal_id=deal.pk, now=NOW)
        with pytest.raises(Conflict):
            lose_deal(actor=actor, deal_id=deal.pk, lost_reason_id=lost_reason().pk, now=NOW)

    def test_winning_twice_changes_nothing(self, actor):
        deal = make_deal(actor)
        win_deal(actor=actor, deal_id=deal.pk, now=NOW)
        outcome = win_deal(actor=actor, deal_id=deal.pk, now=NOW + timedelta(days=1))
        assert outcome.unchanged == {0}

    def test_is_decided_by_the_stage_type_and_not_by_its_name(self, actor, change):
        update_pipeline_stages(
            actor=actor,
            rows=Rows.of(
                PipelineStage,
                [
                    {"id": stage("closed_won").pk, "name": "Lost in translation"},
                    {"id": stage("closed_lost").pk, "name": "Won"},
                ],
            ),
            now=NOW,
        ).raise_if_refused()
        deal = make_deal(actor)
        change(deal, stage=stage("closed_won").pk)
        assert deal.status == "won"


class TestReopenDeal:
    def test_clears_what_closing_set_and_goes_back_where_it_was(self, actor):
        deal = make_deal(actor, stage=stage("proposal").pk, probability=42)
        lose_deal(actor=actor, deal_id=deal.pk, lost_reason_id=lost_reason().pk, now=NOW)
        reopen_deal(actor=actor, deal_id=deal.pk, now=NOW)
        deal.refresh_from_db()
        assert (deal.closed_at, deal.lost_reason_id, deal.status) == (None, None, "open")
        assert deal.stage.code == "proposal"
        assert (deal.probability, deal.probability_overridden) == (50, False)
        assert deal.forecast_category == "best_case"

    def test_refuses_an_open_deal(self, actor):
        with pytest.raises(Conflict):
            reopen_deal(actor=actor, deal_id=make_deal(actor).pk, now=NOW)

    def test_refuses_where_the_pipeline_forbids_it(self, actor):
        deal = make_deal(actor)
        win_deal(actor=actor, deal_id=deal.pk, now=NOW)
        update_pipelines(
            actor=actor, rows=Rows.of(Pipeline, [{"id": deal.pipeline_id, "allow_reopen": False}]), now=NOW
        ).raise_if_refused()
        with pytest.raises(Invalid) as refused:
            reopen_deal(actor=actor, deal_id=deal.pk, now=NOW)
        assert refused.value.faults[0].code == "reopen_not_allowed"


class TestMoveDeal:
    def test_refuses_a_version_that_moved_on(self, actor, change):
        deal = make_deal(actor)
        change(deal, name="Other")
        with pytest.raises(Stale):
            move_deal(
                actor=actor, deal_id=deal.pk, stage_id=stage("proposal").pk, now=NOW, expected_version=1
            )

    def test_refuses_a_deal_of_another_company(self, actor, acme, globex):
        with globex.acting() as other:
            foreign = make_deal(other).pk
        with acme.acting() as actor:
            for close in (
                lambda: move_deal(actor=actor, deal_id=foreign, stage_id=stage("proposal").pk, now=NOW),
                lambda: win_deal(actor=actor, deal_id=foreign, now=NOW),
                lambda: reopen_deal(actor=actor, deal_id=foreign, now=NOW),
            ):
                with pytest.raises(NotFound):
                    close()


class TestStageHistory:
    def test_begins_with_the_first_stage(self, actor):
        deal = make_deal(actor, amount="10")
        first = DealStageHistory.objects.get(deal=deal)
        assert (first.from_stage, first.to_stage, first.duration_seconds) == (None, deal.stage, None)
        assert (first.amount_after, first.probability_after) == (Decimal("10.00"), 10)
        assert (first.changed_at, first.changed_by_id, first.source) == (NOW, actor.user_id, "api")

    def test_has_a_row_for_each_change_with_what_it_changed(self, actor, change):
        deal = make_deal(actor, amount="10")
        change(deal, name="Renamed")
        change(
            deal,
            stage=stage("proposal").pk,
            amount="25",
            close_date="2026-08-01",
            now=NOW + timedelta(hours=2),
        )
        _, second = DealStageHistory.objects.filter(deal=deal).order_by("changed_at")
        assert (second.from_stage.code, second.to_stage.code) == ("prospecting", "proposal")
        assert second.duration_seconds == 7200
        assert (second.amount_before, second.amount_after) == (Decimal("10.00"), Decimal("25.00"))
        assert (second.probability_before, second.probability_after) == (10, 50)
        assert second.close_date_after == date(2026, 8, 1)
        assert (second.forecast_category_before, second.forecast_category_after) == ("pipeline", "best_case")

    def test_is_a_chain_in_time_whichever_request_came_first(self, actor, change):
        deal = make_deal(actor)
        for code, hours in (("proposal", 2), ("negotiation", 1), ("qualification", 3)):
            change(deal, stage=stage(code).pk, now=NOW + timedelta(hours=hours))
        history = DealStageHistory.objects.filter(deal=deal).order_by("changed_at", "id")
        assert [row.to_stage.code for row in history] == [
            "prospecting",
            "proposal",
            "negotiation",
            "qualification",
        ]
        assert [row.duration_seconds for row in history] == [None, 7200, 0, 3600]

    def test_has_nothing_of_a_refused_change(self, actor, change):
        deal = make_deal(actor)
        assert change(deal, stage=stage("closed_lost").pk).refused
        assert DealStageHistory.objects.filter(deal=deal).count() == 1

    def test_names_the_channel(self, acme, globex):
        with acme.acting(source="import") as actor:
            deal = make_deal(actor)
            assert DealStageHistory.objects.get(deal=deal).source == "import"


class TestManyDeals:
    def test_cost_as_many_statements_as_one(self, actor, gates_known, django_assert_num_queries):
        account = make_account(actor).pk
        rows = [
            {"name": f"Deal {n}", "close_date": "2026-06-30", "amount": n, "account": account, "stage": None}
            for n in range(10_000)
        ]
        with django_assert_num_queries(1):
            outcome = create_deals(actor=actor, rows=Rows.of(Deal, rows), now=NOW)
        assert len(outcome.ids) == 10_000
        assert DealStageHistory.objects.count() == 10_000
        proposal = stage("proposal").pk
        moved = [{"id": key, "stage": proposal} for key in outcome.ids.values()]
        with django_assert_num_queries(1):
            update_deals(actor=actor, rows=Rows.of(Deal, moved), now=NOW).raise_if_refused()
        assert Deal.objects.filter(probability=50, stage=proposal).count() == 10_000
        assert DealStageHistory.objects.count() == 20_000


class TestDealProducts:
    def test_copy_the_product_and_decide_the_amount(self, actor):
        product = make_product(actor, name="Chair", sku="C-1", unit="piece", unit_price="19.9900")
        deal = make_deal(actor, amount="5")
        line = make_deal_product(actor, deal=deal.pk, product=product.pk, quantity="3")
        deal.refresh_from_db()
        assert (line.name, line.sku, line.unit, line.unit_price) == (
            "Chair",
            "C-1",
            "piece",
            Decimal("19.9900"),
        )
        assert (line.list_price, line.subtotal, line.total) == (
            Decimal("19.9900"),
            Decimal("59.97"),
            Decimal("59.97"),
        )
        assert (deal.amount, deal.amount_source) == (Decimal("59.97"), "calculated")
        assert deal.expected_amount == Decimal("6.00")

    @pytest.mark.parametrize(
        ("fields", "discount", "total"),
        [
            ({"discount_value": "12.5"}, "12.50", "87.50"),
            ({"discount_type": "fixed", "discount_value": "30"}, "30.00", "70.00"),
            ({"discount_type": "fixed", "discount_value": "100"}, "100.00", "0.00"),
            ({"discount_value": "33.3333"}, "33.33", "66.67"),
        ],
    )
    def test_subtract_their_discount(self, actor, fields, discount, total):
        deal = make_deal(actor)
        line = make_deal_product(actor, deal=deal.pk, name="Work", quantity="4", unit_price="25", **fields)
        assert (line.discount_amount, line.total) == (Decimal(discount), Decimal(total))

    @pytest.mark.parametrize(
        ("fields", "fault"),
        [
            ({"quantity": "0"}, ("quantity", "too_small")),
            ({"unit_price": "-1"}, ("unit_price", "too_small")),
            ({"discount_value": "100.01"}, "discount_too_large"),
            ({"discount_type": "fixed", "discount_value": "10.01"}, "discount_too_large"),
            ({"quantity": "99999999999999", "unit_price": "99999999999999"}, ("quantity", "too_large")),
            ({"name": ""}, ("name", "required")),
        ],
    )
    def test_refuse_what_makes_no_price(self, actor, fields, fault):
        row = {"deal": make_deal(actor).pk, "name": "Work", "quantity": "1", "unit_price": "10"} | fields
        outcome = create_deal_products(actor=actor, rows=Rows.of(DealProduct, [row]), now=NOW)
        found = codes(outcome)
        assert fault in found or fault in {code for _, code in found}

    def test_need_a_price_where_no_product_has_one(self, actor):
        row = {"deal": make_deal(actor).pk, "name": "Work"}
        outcome = create_deal_products(actor=actor, rows=Rows.of(DealProduct, [row]), now=NOW)
        assert codes(outcome) == {("unit_price", "required")}

    def test_refuse_a_price_in_another_currency(self, actor):
        product = make_product(actor, unit_price="10", currency="EUR")
        deal = make_deal(actor, currency="USD")
        row = {"deal": deal.pk, "product": product.pk}
        outcome = create_deal_products(actor=actor, rows=Rows.of(DealProduct, [row]), now=NOW)
        assert codes(outcome) == {("product", "other_currency")}
        assert make_deal_product(actor, **row, unit_price="11").unit_price == 11

    def test_make_the_amount_read_only(self, actor, change):
        deal = make_deal(actor)
        make_deal_product(actor, deal=deal.pk, name="Work", unit_price="10")
        assert codes(change(deal, amount="11")) == {("amount", "calculated")}
        assert not change(deal, amount="10.00").refused
        assert not change(deal, amount_source="manual", amount="11").refused
        change(deal, amount_source="calculated")
        assert deal.amount == Decimal("10.00")

    def test_change_the_amount_when_they_change_or_go(self, actor, change):
        deal = make_deal(actor)
        first = make_deal_product(actor, deal=deal.pk, name="Work", unit_price="10")
        make_deal_product(actor, deal=deal.pk, name="More", unit_price="5")
        change(first, quantity="3")
        deal.refresh_from_db()
        assert deal.amount == Decimal("35.00")
        for line in DealProduct.objects.filter(deal=deal):
            rows = Rows.of(DealProduct, [{"id": line.pk}])
            delete_deal_products(actor=actor, rows=rows, now=NOW).raise_if_refused()
        deal.refresh_from_db()
        assert (deal.amount, deal.amount_source) == (Decimal(0), "manual")

    def test_stay_with_their_deal(self, actor, change):
        line = make_deal_product(actor, deal=make_deal(actor).pk, name="Work", unit_price="10")
        assert codes(change(line, deal=make_deal(actor).pk)) == {("deal", "read_only")}

    def test_of_many_deals_cost_as_many_statements_as_of_one(
        self, actor, gates_known, django_assert_num_queries
    ):
        deals = create_deals(
            actor=actor,
            rows=Rows.of(Deal, [{"name": str(n), "close_date": "2026-06-30"} for n in range(500)]),
            now=NOW,
        )
        rows = [
            {"deal": deal, "name": "Work", "unit_price": n}
            for n in range(1, 5)
            for deal in deals.ids.values()
        ]
        with django_assert_num_queries(4):
            create_deal_products(actor=actor, rows=Rows.of(DealProduct, rows), now=NOW).raise_if_refused()
        assert Deal.objects.filter(amount=10, amount_source="calculated").count() == 500
