"""Every page of the back office, by axe's rules of WCAG 2 A and AA and by our own, wide and narrow, light and dark.

The pages are read from the site's addresses: one that is new is looked at, or fails until it says how.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest
from django.contrib.admin import site
from django.urls import URLPattern, URLResolver, reverse
from django.utils import timezone

from analytics.models import Dashboard, Report
from audit.operations.seals import seal_new
from core.backoffice.entity_admin import EntityAdmin
from core.changes import stream
from core.delivery.models import OutgoingEmail
from core.identity.models import User
from core.identity.operations import create_api_key
from core.kernel.transactions import unit_of_work
from core.tenancy.context import system_context
from crm.models import Deal, Lead
from tests.backoffice.browsing import Visitor
from tests.factories.crm import make_activity, make_deal, make_lead, make_product
from tests.worlds import PASSWORD

pytestmark = pytest.mark.django_db(transaction=True)

# Addresses that are no pages of their own: route -> why.
NO_PAGES = {
    "options": "JSON for the search select",
    "search": "a part of the navigation, looked at as a state of home",
    "choose_company": "only takes a form",
    "recycle_bin_restore": "only takes a form",
    "logout": "only takes a form",
    "jsi18n": "a script",
    "companies": "for staff, who come as somebody else",
    "login": "for who is not signed in yet",
    "app_list": "Django's own, which has nothing to show",
    "notifications_read_all": "only takes a form",
    "notification_open": "only takes a form",
    "go_to_record": "leads on to a record's page",
    "invitation": "looked at by itself, since nobody is signed in there",
    "registration": "the same page as that of an invitation",
    "email": "looked at as a state of the outbox",
    "job": "looked at in test_jobs.py, in each of its states",
    "job_progress": "a part of the page of a job",
    "job_cancel": "only takes a form",
    "job_retry": "only takes a form",
    "email_file": "a download",
    "change_log_news": "JSON for the page that is live",
    "change_log_export": "only takes a form",
    "change_log_entry": "looked at as a state of the change log",
    "change_log_review": "only takes a form",
    "change_log_revert": "only takes a form",
    "change_log_record": "looked at as a state of the change log",
    "audit_auditlogexport_file": "a download",
    "audit_compliancereport_file": "a download",
    "report_preview": "a part of the page of a report",
    "report_save": "only takes what the page of a report sends",
    "report_file": "only takes a form",
    "data_import_importjob_map": "only takes a form",
    "data_import_importjob_start": "only takes a form",
    "data_import_importjob_cancel": "only takes a form",
    "data_import_importjob_progress": "JSON for the page that waits",
    "data_import_importjob_errors": "a CSV file",
    "data_import_importjob_file": "the file itself",
}
# The site's own pages of a kind of record. What differs is in the fields, so that these are looked at once for records
# that go to the bin and once for those that do not.
ALIKE = ("history", "delete")
# On the narrow screen the site's own pages are looked at for these: a guided one, one with lines, one with a table.
NARROW = ("crm_lead_", "crm_deal_", "core_role_")
OWN = ("changelist", "add", "record", "change", *ALIKE)
# What the page of one record looks like in another state, by the name of its address.
INSTEAD: dict[str, Callable[[], Any]] = {
    "crm_deal_reopen": lambda: Deal.objects.filter(status="won"),
    "crm_lead_convert": lambda: Lead.objects.exclude(status="converted"),
}
CSV = "Company,Web site,Kind\nNorthwind,https://northwind.example,customer\nContoso,https://contoso.example,galaxy\n"


def addresses(patterns: list[Any] | None = None) -> Iterator[str]:
    """The names of the site's addresses; Django's redirects of old addresses have none."""
    for item in site.get_urls() if patterns is None else patterns:
        if isinstance(item, URLResolver):
            yield from addresses(item.url_patterns)
        elif isinstance(item, URLPattern) and item.name:
            yield item.name


def pages() -> dict[str, str]:
    """Name -> where it is, of every page that an admin of a furnished company can open."""
    admins = {
        f"{item.model._meta.app_label}_{item.model._meta.model_name}": item
        for item in site._registry.values()
        if isinstance(item, EntityAdmin)
    }
    found = {}
    for name, model in (("report", Report), ("report_drill", Report), ("dashboard", Dashboard)):
        found[name] = reverse(f"admin:{name}", args=[model.objects.first().pk])
    for name in addresses():
        if name in found:
            continue
        # The tests' own app has no records in the company that is furnished as a user's is.
        if name in NO_PAGES or name.startswith("seams_"):
            continue
        kind = name.rpartition("_")[0]
        while kind and kind not in admins:
            kind = kind.rpartition("_")[0]
        if kind in admins and not name.endswith(("_changelist", "_add")):
            record = (INSTEAD[name]() if name in INSTEAD else admins[kind].model.objects.all()).first()
            assert record is not None, f"the company has no {kind} to open {name} with"
            found[name] = reverse(f"admin:{name}", args=[record.pk])
        else:
            found[name] = reverse(f"admin:{name}")
    return found


def chosen(names: Iterable[str], is_narrow: bool) -> Iterator[str]:
    """Those to look at: every page of its own, and of those that many kinds share as many as differ."""
    entities = {
        f"{item.model._meta.app_label}_{item.model._meta.model_name}_": item.entity
        for item in site._registry.values()
        if isinstance(item, EntityAdmin)
    }
    seen = set()
    for name in names:
        prefix, _, page = name.rpartition("_")
        entity = entities.get(f"{prefix}_")
        if entity is not None and page in OWN:
            # Nobody makes or removes some of them by hand.
            if {"add": entity.writes.create, "delete": entity.writes.delete}.get(page, True) is None:
                continue
            if page in ALIKE and (page, entity.is_soft_deleted) in seen:
                continue
            seen.add((page, entity.is_soft_deleted))
            if is_narrow and not name.startswith(NARROW):
                continue
        yield name


@pytest.fixture
def house(acme: Any, globex: Any, furnished: dict[str, Any]) -> dict[str, Any]:
    """The furnished company with something of every kind."""
    client = acme.client("admin")

    def post(path: str, **body: Any) -> dict[str, Any]:
        answer = client.post(f"/api/v1/{path}/", body)
        assert answer.status_code == 201, answer.json()
        return dict(answer.json())

    with acme.acting() as actor:
        product = make_product(actor, name="License", unit_price="30", currency="USD")
        activity = make_activity(actor, subject="First call", deal=furnished["deal"].pk)
        won = make_deal(actor, name="Won before", amount="100", currency="USD")
        make_lead(actor, last_name="Fresh")
        key = create_api_key(
            actor, name="Nightly export", scopes=["read"], expires_at=None, now=timezone.now()
        )
    post("deal-products", deal=str(furnished["deal"].pk), product=str(product.pk), quantity="2")
    post("deal-contacts", deal=str(furnished["deal"].pk), contact=str(furnished["contact"].pk))
    post("tags", name="key", color="#b45309")
    post("activity-participants", activity=str(activity.pk), contact=str(furnished["contact"].pk))
    post("data-import/templates", name="Accounts", entity_type="account", field_mapping={"Company": ["name"]})
    post("exchange-rates", currency="EUR", rate="1.08", valid_from="2026-01-01")
    values = [{"field": "amount", "aggregation": "sum"}]
    post("analytics/reports", name="Pipeline", data_source="deals", pivot_rows=["stage"], pivot_values=values)
    post("analytics/dashboards", name="Sales")
    post(
        "workflow/approval-processes",
        name="Large deals",
        entity_type="deal",
        steps=[{"step": 1, "approvers": [{"kind": "manager"}]}],
    )
    market = post("territories", name="Market", code="MARKET")
    here = post("territories", name="Here", code="HERE", parent_territory=market["id"])
    post(f"territories/{here['id']}/members", user=str(acme.users["sales"]))
    condition = {"field": "industry", "operator": "eq", "value": "energy"}
    post(f"territories/{here['id']}/rules", name="Energy", entity_type="account", condition=condition)
    post("audit/policies", name="Deletions", rules=[{"condition": "action == 'delete'", "alert": True}])
    post("exchange-rates", currency="EUR", rate="1.1", valid_from="2020-01-01")
    post("audit/exports", name="All of it", filters={"entity_type": "deal"})
    post("audit/compliance-reports", report_type="access_review")
    post(
        "workflows",
        name="Thank them",
        triggers=[{"event_type": "deal.won"}],
        actions=[{"action_type": "add_note", "payload": {"body": "Say thank you."}}],
    )
    assert client.post(f"/api/v1/deals/{won.pk}/win/").status_code == 200
    gone = post("accounts", name="Gone tomorrow")
    assert client.delete(f"/api/v1/accounts/{gone['id']}/").status_code == 204
    assert client.post("/api/v1/auth/password-reset/", {"email": "manager@acme.test"}).status_code == 202
    stream.run_consumer("audit.policies")
    seal_new(now=timezone.now)
    with system_context("test"), unit_of_work():
        User.objects.filter(pk=globex.users["admin"]).update(is_platform_staff=True)
    return {**furnished, "key": key}


def import_a_file(me: Visitor, file: Any, look: Callable[[str], None]) -> None:
    """The pages of an import, one after the other."""
    page = me.page
    me.go("/admin/data_import/importjob/add/")
    page.get_by_label("File").set_input_files(file)
    page.get_by_label("What is in it").select_option("account")
    page.get_by_role("button", name="Upload").click()
    page.get_by_role("heading", name="Which column goes where").wait_for()
    look("import: map")
    page.get_by_label("Company", exact=True).select_option("")
    page.get_by_role("button", name="Check the file").click()
    page.get_by_role("alert").wait_for()
    look("import: refused")
    page.get_by_label("Company", exact=True).select_option("name")
    page.get_by_role("button", name="Check the file").click()
    page.get_by_role("heading", name="What would happen").wait_for()
    look("import: plan")
    page.get_by_role("button", name="Import now").click()
    page.get_by_role("heading", name="Done").wait_for()
    look("import: done")


def change_log(me: Visitor, house: dict[str, Any], look: Callable[[str], None]) -> None:
    """The explorer as somebody goes through it with the keyboard: an entry, its review, the record through time."""
    page = me.page
    me.go("/admin/change-log/?entity_type=deal&action=update&at__gte=2020-01-01T00:00")
    look("change log: filtered")
    entry = page.locator("ol a").first
    entry.focus()
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="What changed").wait_for()
    look("change log: entry")
    page.get_by_label("Note").fill("As agreed.")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.get_by_text("The review was noted.").wait_for()
    look("change log: reviewed")
    page.get_by_role("link", name="Through time").click()
    slider = page.get_by_role("slider")
    slider.focus()
    page.keyboard.press("Home")
    page.get_by_text("Change 1 of").wait_for()
    look("change log: record")
    me.go("/admin/change-log/?entity_id=nonsense")
    page.get_by_role("alert").wait_for()
    look("change log: refused")
    me.go("/admin/seals/")
    page.get_by_role("button", name="Verify every entry now").click()
    page.get_by_text("are as they were sealed").wait_for()
    look("change log: verified")


def states(me: Visitor, house: dict[str, Any], look: Callable[[str], None]) -> None:
    """What a page becomes when somebody does something there."""
    page = me.page
    me.go("/admin/crm/lead/")
    page.get_by_role("button", name="Filters").click()
    look("list: filters")
    me.go("/admin/crm/lead/?q=nobody-is-called-so")
    look("list: nothing found")
    for action in ("assign_owner", "add_tag", "delete_selected"):
        me.go("/admin/crm/lead/")
        page.locator("#result_list .action-select").first.check()
        page.get_by_label("Select action").select_option(action)
        if action == "assign_owner":
            look("list: selected")
        page.get_by_role("button", name="Run").click()
        page.get_by_role("link", name="Cancel").wait_for()
        look(f"list: {action}")
    me.go("/admin/crm/lead/add/")
    page.get_by_label("Email", exact=True).fill("no address")
    page.get_by_role("button", name="Save", exact=True).click()
    page.get_by_text("An e-mail address such as").wait_for()
    look("form: errors")
    me.go(f"/admin/crm/deal/{house['deal'].pk}/change/")
    page.get_by_role("button", name="Add a line").click()
    look("form: new line")
    page.get_by_role("combobox", name="Owner").click()
    page.locator(".select2-results__option").first.wait_for()
    look("form: choosing a record")
    me.go("/admin/")
    if page.viewport_size["width"] < 1280:
        page.get_by_role("button", name="Open the navigation").click()
    page.get_by_label("Search everything").type("north")
    page.locator(".bo-found").wait_for()
    look("search")
    page.keyboard.press("Escape")
    page.locator("summary[aria-label^=Account]").click()
    look("account menu")
    me.go("/admin/core/apikey/add/")
    page.get_by_label("Name").fill("Weekly export")
    page.get_by_label("Read any record").check()
    page.get_by_role("button", name="Make the key").click()
    page.get_by_role("heading", name="Copy the key now").wait_for()
    look("new secret")
    me.go("/admin/emails/")
    page.get_by_role("link", name="Reset your password").click()
    page.get_by_role("heading", name="Preview").wait_for()
    look("email")
    me.go("/admin/password/")
    for control in page.locator("main input[type=password]").all():
        control.fill("wrong and wrong again")
    page.get_by_role("button", name="Change password").click()
    page.get_by_role("alert").first.wait_for()
    look("password: errors")


def refusals(me: Visitor, look: Callable[[str], None]) -> None:
    """Pages that answer with a refusal, which is then no fault."""
    me.go("/admin/crm/lead/00000000-0000-7000-8000-000000000000/")
    look("not found")
    me.page.context.clear_cookies()
    me.sign_in("viewer@acme.test")
    me.go("/admin/crm/lead/add/")
    look("not allowed")
    me.faults = [fault for fault in me.faults if "404" not in fault and "403" not in fault]


def sign_in_pages(me: Visitor, look: Callable[[str], None]) -> None:
    me.page.context.clear_cookies()
    me.go("/admin/login/")
    look("sign-in")
    me.page.get_by_role("link", name="Forgot your password?").press("Enter")
    me.page.get_by_role("heading", name="Reset your password").wait_for()
    me.page.get_by_label("Email address").press_sequentially("sales@acme.test")
    me.page.keyboard.press("Enter")
    me.page.get_by_role("heading", name="Check your email").wait_for()
    look("password reset: asked")
    with system_context("the link of a mail"), unit_of_work():
        mail = OutgoingEmail.objects.filter(kind="password_reset").latest("pk")
    token = re.search(r"token=(\S+)", mail.text)
    assert token is not None
    me.go(f"/admin/password-reset/new/?token={token[1]}")
    me.page.get_by_role("heading", name="Choose a new password").wait_for()
    look("password reset: choose")
    me.page.locator("[name=new_password]").fill("a loud harbor at noon")
    me.page.locator("[name=repeated]").fill("a loud harbor at noon")
    me.page.keyboard.press("Enter")
    me.page.get_by_role("status").wait_for()
    look("sign-in: after a reset")
    me.page.get_by_label("E-mail address").fill("admin@acme.test")
    me.page.get_by_label("Password").fill("wrong")
    me.page.get_by_role("button", name="Sign in").click()
    me.page.get_by_role("alert").wait_for()
    look("sign-in: refused")
    me.page.get_by_label("E-mail address").fill("admin@globex.test")
    me.page.get_by_label("Password").fill(PASSWORD)
    me.page.get_by_role("button", name="Sign in").click()
    me.page.get_by_role("heading", name="Home", exact=True).wait_for()
    me.go("/admin/companies/")
    look("companies")
    me.page.get_by_role("button", name="Enter Acme").click()
    me.page.get_by_text("You are visiting").wait_for()
    look("visiting")


@pytest.mark.parametrize(
    ("width", "scheme"), [(1280, "light"), pytest.param(390, "dark", marks=pytest.mark.long)]
)
def test_every_page_can_be_read_and_used_by_all(
    acme: Any, house: dict[str, Any], visitor: Any, tmp_path: Any, width: int, scheme: str
) -> None:
    me = visitor(width=width, color_scheme=scheme)
    found: dict[str, list[str]] = {}

    def look(name: str) -> None:
        me.shoot(f"{name.replace(': ', '-')}-{width}-{scheme}")
        if faults := [*me.accessibility_faults(), *me.axe_violations()]:
            found[name] = faults

    file = tmp_path / "accounts.csv"
    file.write_text(CSV, encoding="utf-8")
    me.sign_in("admin@acme.test")
    import_a_file(me, file, look)
    with acme.acting():
        every = pages()
    for name in chosen(every, is_narrow=width < 1280):
        me.go(every[name])
        look(name)
    states(me, house, look)
    change_log(me, house, look)
    refusals(me, look)
    sign_in_pages(me, look)

    assert found == {}


def test_whoever_runs_axe_finds_what_is_wrong(visitor: Any) -> None:
    me = visitor()
    me.page.set_content(
        "<html lang=en><title>A page</title><body style='background:#fff'><main><h1>Hello</h1>"
        "<p style='color:#ccc'>Faint</p><input><img src='data:,'></main></body></html>"
    )

    assert {text.partition(":")[0] for text in me.axe_violations()} == {
        "color-contrast",
        "image-alt",
        "label",
    }
    assert len(me.accessibility_faults()) == 3


def test_the_addresses_that_are_no_pages_are_there() -> None:
    assert set(NO_PAGES) <= set(addresses())
