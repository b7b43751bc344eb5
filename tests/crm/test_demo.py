"""The demo company: whole, plausible, the same each time, and made once."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any

import phonenumbers
import pytest
from django.core.management import CommandError, call_command, execute_from_command_line
from django.db import connection, transaction
from django.db.models import F, Q
from django.test.utils import CaptureQueriesContext

from core.identity.models import Person, Role
from core.identity.operations import check_credentials, create_company
from core.kernel.errors import Conflict
from core.kernel.transactions import unit_of_work
from core.tenancy.actors import system_actor
from core.tenancy.context import actor_context
from crm.demo import seed_demo, seeding
from crm.demo.founding import find_demo
from crm.models import Account, Activity, Contact, Deal, DealProduct, DealStageHistory, Lead, Note, Task
from crm.models.choices import LeadStatus

NOW = datetime(2026, 3, 18, 10, 0, tzinfo=UTC)
PASSWORD = "a quiet harbor at dawn"


@contextmanager
def inside(slug: str = "demo") -> Iterator[None]:
    demo = find_demo(slug)
    assert demo is not None
    with actor_context(system_actor(demo.company.pk), source="test"), unit_of_work():
        yield


def digest(slug: str = "demo") -> str:
    """What the history is, without ids."""
    with inside(slug):
        facts = [
            *Account.objects.order_by("name", "created_at").values_list("name", "phone", "created_at"),
            *Lead.objects.order_by("created_at", "email", "full_name").values_list(
                "email", "status", "updated_at"
            ),
            *Deal.objects.order_by("created_at", "name", "amount").values_list(
                "name", "stage__code", "amount"
            ),
            *Task.objects.order_by("created_at", "subject", "due_date", "status").values_list(
                "subject", "status"
            ),
        ]
    return hashlib.sha256(repr(facts).encode()).hexdigest()


class Enough(Exception):
    """The history is told far enough."""


def tell(slug: str, sittings: int, **options: int) -> None:
    """The next so many sittings, and no more."""

    def report(done: int, total: int) -> None:
        if done == sittings:
            raise Enough

    with pytest.raises(Enough):
        seed_demo(slug=slug, password=PASSWORD, now=NOW, report=report, **options)


@pytest.fixture
def short_story(monkeypatch: Any) -> None:
    """Fewer sittings, in each of which more happens."""
    monkeypatch.setattr(seeding, "_SITTINGS", 28)


@pytest.fixture(scope="module")
def demo(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """The whole company, for all tests of it that only look."""
    with django_db_blocker.unblock(), transaction.atomic():
        seed_demo(slug="demo", password=PASSWORD, now=NOW)
        with inside():
            yield
        transaction.set_rollback(True)


@pytest.mark.usefixtures("demo")
class TestDemoCompany:
    def test_has_people_in_two_teams_below_one_admin(self) -> None:
        people = {person.email: person for person in Person.objects.select_related("role", "manager")}

        assert len(people) == 12
        assert people["admin@demo.example"].manager is None
        assert people["sales@demo.example"].manager_id == people["manager@demo.example"].id
        assert people["viewer@demo.example"].role.name == "viewer"
        assert {person.role.name for person in people.values()} == {
            "admin",
            "manager",
            "sales",
            "viewer",
            "lead qualifier",
        }
        assert Role.objects.get(name="lead qualifier").is_builtin is False

    def test_is_of_the_promised_size(self) -> None:
        counts = {
            model.__name__: model.objects.count()
            for model in (Account, Contact, Lead, Deal, Activity, Task, Note, DealProduct, DealStageHistory)
        }

        assert counts["Lead"] == 1_200
        assert counts["Activity"] == 5_000
        assert 200 <= counts["Account"] <= 320
        assert 900 <= counts["Contact"] <= 1_150
        assert 550 <= counts["Deal"] <= 720
        assert counts["Task"] > 500
        assert counts["Note"] > 300
        assert counts["DealProduct"] > 100
        assert counts["DealStageHistory"] > 2 * counts["Deal"]

    def test_has_leads_in_every_status_and_deals_in_every_stage(self) -> None:
        assert set(Lead.objects.values_list("status", flat=True)) == set(LeadStatus.values)
        assert set(Deal.objects.values_list("stage__code", flat=True)) == {
            "prospecting",
            "qualification",
            "proposal",
            "negotiation",
            "closed_won",
            "closed_lost",
        }

    def test_spans_two_years_and_ends_today(self) -> None:
        times = Deal.objects.order_by("created_at").values_list("created_at", flat=True)

        assert NOW - times[0] > timedelta(days=700)
        assert NOW - times[len(times) - 1] < timedelta(days=21)
        assert not Activity.objects.filter(status="held", start_at__gt=NOW).exists()
        assert Activity.objects.filter(status="planned", start_at__gt=NOW).exists()

    def test_has_a_stage_history_that_leads_to_where_each_deal_is(self) -> None:
        steps = DealStageHistory.objects.order_by("deal_id", "changed_at").values_list(
            "deal_id", "from_stage_id", "to_stage_id", "changed_at"
        )
        at: dict[Any, tuple[Any, Any]] = {}
        for deal_id, from_stage, to_stage, changed_at in steps:
            before, when = at.get(deal_id, (None, None))
            assert from_stage == before
            assert when is None or when < changed_at
            at[deal_id] = to_stage, changed_at

        assert {deal_id: stage for deal_id, (stage, _) in at.items()} == dict(
            Deal.objects.values_list("pk", "stage_id")
        )
        assert not Deal.objects.filter(closed_at__lt=F("created_at")).exists()

    def test_has_converted_leads_with_what_came_of_them(self) -> None:
        converted = Lead.objects.filter(status="converted").select_related(
            "converted_account", "converted_deal"
        )

        assert len(converted) > 100
        for lead in converted:
            assert lead.converted_account.name == lead.company_name
            assert lead.converted_deal.lead_id == lead.pk
            assert lead.converted_deal.account_id == lead.converted_account_id
            assert lead.converted_contact_id == lead.converted_deal.primary_contact_id

    def test_has_phones_that_are_valid_and_addresses_nobody_owns(self) -> None:
        for model in (Account, Contact, Lead):
            for phone in model.objects.exclude(phone="").values_list("phone", flat=True):
                assert phonenumbers.is_valid_number(phonenumbers.parse(phone)), phone
            assert not model.objects.exclude(Q(email="") | Q(email__endswith=".example")).exists()

    def test_says_what_each_activity_is_about(self) -> None:
        assert not Activity.objects.filter(
            account=None, contact=None, lead=None, deal=None, created_at__gt=NOW - timedelta(days=600)
        ).exists()

    def test_has_work_of_the_admins_own_late_of_today_and_to_come(self) -> None:
        admin = Person.objects.get(email="admin@demo.example")
        mine = Task.objects.filter(owner=admin.pk).exclude(status__in=("completed", "canceled"))
        days = sorted((due - NOW.date()).days for due in mine.values_list("due_date", flat=True))

        assert days == [-3, -1, 0, 0, 1, 2, 5, 12]
        assert Deal.objects.filter(owner=admin.pk, status="open", close_date__gt=NOW).count() == 2
        assert Contact.objects.filter(owner=admin.pk, account__owner=admin.pk).count() == 2
        assert not mine.filter(created_at__gt=NOW).exists()

    def test_is_left_alone_when_it_is_there(self) -> None:
        before = digest()

        again = seed_demo(slug="demo", password="another password", now=NOW + timedelta(days=40), scale=3)

        assert (again.is_new, again.sittings) == (False, 0)
        assert digest() == before

    def test_lets_its_people_sign_in(self) -> None:
        assert check_credentials(email="sales@demo.example", password=PASSWORD, now=NOW).first_name == "Sam"


@pytest.mark.django_db
class TestSeedDemo:
    def test_tells_the_same_history_for_the_same_seed(self) -> None:
        tell("one", 40)
        tell("two", 40)
        tell("three", 40, seed=2)

        assert digest("one") == digest("two")
        assert digest("one") != digest("three")

    def test_goes_on_where_it_was_interrupted(self) -> None:
        tell("one", 40)
        tell("two", 15)
        tell("two", 25)

        assert digest("one") == digest("two")

    def test_takes_no_more_statements_for_more_records(self) -> None:
        with CaptureQueriesContext(connection) as few:
            tell("one", 8)
        with CaptureQueriesContext(connection) as many:
            tell("two", 8, scale=12)

        with inside("two"):
            assert Lead.objects.count() > 150
        # Converting, which may happen for the first time with the twelvefold, takes eight of its own.
        assert len(many) <= len(few) + 8 * 8

    def test_refuses_a_company_that_is_no_demo(self) -> None:
        with unit_of_work():
            create_company(name="Mine", slug="mine", admin_email="me@mine.test", now=NOW)

        with pytest.raises(Conflict):
            seed_demo(slug="mine", password=PASSWORD, now=NOW)

    @pytest.mark.django_db(transaction=True)
    @pytest.mark.usefixtures("short_story")
    def test_tells_the_same_history_with_several_people_at_once(self) -> None:
        seed_demo(slug="one", password=PASSWORD, now=NOW)
        tell("two", 10, at_once=3)
        with inside("two"):
            begun = Activity.objects.count()
        seeded = seed_demo(slug="two", password=PASSWORD, now=NOW, at_once=2)

        assert 0 < begun < 5_000
        assert 0 < seeded.sittings < 28
        assert digest("one") == digest("two")


class TestCommand:
    def test_refuses_settings_that_are_not_for_one_machine(self, settings: Any) -> None:
        del settings.HOME

        with pytest.raises(CommandError, match="--yes-really") as refusal:
            call_command("seed_demo", stdout=StringIO())

        assert refusal.value.returncode == 2

    @pytest.mark.parametrize(
        "arguments",
        ["--scale=0", "--scale=-1", "--scale=many", "--scale=10001", f"--seed={2**64}", "--sclae=3", "more"],
    )
    def test_refuses_arguments_that_mean_nothing(self, arguments: str, capsys: Any) -> None:
        with pytest.raises(SystemExit) as refusal:
            execute_from_command_line(["manage.py", "seed_demo", arguments])

        assert refusal.value.code == 2
        assert capsys.readouterr().err.count("error: ") == 1

    @pytest.mark.django_db
    @pytest.mark.parametrize(
        ("slug", "said"), [("Acme!", "A slug has"), ("mine", "exists already and is no demo")]
    )
    def test_refuses_a_company_it_cannot_make(
        self, slug: str, said: str, settings: Any, tmp_path: Any
    ) -> None:
        settings.HOME = type(settings.HOME)(tmp_path)
        with unit_of_work():
            create_company(name="Mine", slug="mine", admin_email="me@mine.test", now=NOW)

        with pytest.raises(CommandError, match=said) as refusal:
            call_command("seed_demo", f"--company={slug}", stdout=StringIO())

        assert refusal.value.returncode == 2

    @pytest.mark.django_db(transaction=True)
    @pytest.mark.usefixtures("short_story")
    def test_prints_the_sign_in_each_time(self, settings: Any, tmp_path: Any) -> None:
        settings.HOME = type(settings.HOME)(tmp_path)
        tell("demo", 2)
        first, second = StringIO(), StringIO()

        call_command("seed_demo", stdout=first)
        call_command("seed_demo", "--scale=7", stdout=second)

        password = (tmp_path / "demo-password").read_text().strip()
        there, sign_in = second.getvalue().split("\n", 1)
        assert f"Sign in: admin@demo.example, password {password}" in sign_in
        assert first.getvalue() == sign_in
        assert there == "The company demo is there already, with all its history; it stays as it is."
        with inside():
            assert Lead.objects.count() == 1_200
        assert (tmp_path / "demo-password").stat().st_mode & 0o077 == 0
