"""The back office as a person uses it, in a real browser."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest
from celery import current_app
from django.conf import settings
from django.db import connection, transaction
from redis import Redis

from crm.models import Account, Deal, Lead, PipelineStage
from tests.core.jobs.conftest import ROOT, child_environment
from tests.factories.crm import (
    make_account,
    make_deal,
    make_lead,
    make_product,
)

pytestmark = pytest.mark.django_db(transaction=True)

# What has the focus: its name and its tag.
FOCUSED = """
() => {
  const el = document.activeElement, copy = el.cloneNode(true);
  copy.querySelectorAll("[aria-hidden=true]").forEach((part) => part.remove());
  const label = el.labels && el.labels[0] ? el.labels[0].textContent : "";
  return [(el.getAttribute("aria-label") || label || copy.textContent || "").trim(), el.tagName.toLowerCase()];
}
"""
# Keeps what the progress bar said across the pages.
PROGRESS = """
addEventListener("DOMContentLoaded", () => {
  const text = document.querySelector("[data-progress-text]"), bar = document.querySelector("progress.bo-progress");
  if (!text) return;
  new MutationObserver(() => {
    const said = JSON.parse(sessionStorage.said || "[]");
    sessionStorage.said = JSON.stringify([...said, [text.textContent, bar.value]]);
  }).observe(text, { childList: true, characterData: true, subtree: true });
});
"""
CSV = """Company,Web site,City,Kind
Northwind Traders,https://northwind.example,Hamburg,customer
Fabrikam,https://fabrikam.example,Lyon,prospect
Contoso,https://contoso.example,Austin,galaxy
"""


def test_sign_in_switch_company_and_sign_out(acme, globex, visitor):
    with globex.acting() as actor:
        globex.join(acme.users["sales"], "viewer")
        make_account(actor, name="Only in Globex")
    me = visitor()
    page = me.page
    me.sign_in("sales@acme.test")
    page.get_by_label("Company: Acme. Switch company").click()
    page.get_by_role("button", name="Globex").click()
    page.get_by_label("Company: Globex. Switch company").wait_for()
    page.get_by_role("link", name="Accounts").first.click()
    page.get_by_role("link", name="Only in Globex").wait_for()
    assert page.get_by_role("link", name="New account").count() == 0, "a viewer there"
    page.get_by_label("Account: Sales Acme").click()
    page.get_by_role("button", name="Sign out").click()
    me.go("/admin/")
    page.get_by_role("heading", name="Sign in").wait_for()


def test_a_wrong_password_says_so(acme, visitor):
    me = visitor()
    me.go("/admin/login/")
    me.page.get_by_label("E-mail address").fill("admin@acme.test")
    me.page.get_by_label("Password").fill("wrong")
    me.page.get_by_role("button", name="Sign in").click()
    me.page.get_by_role("alert").wait_for()
    assert me.accessibility_faults() == []


def test_from_a_lead_to_a_moved_deal(acme, visitor):
    me = visitor()
    page = me.page
    me.sign_in("admin@acme.test")
    page.get_by_role("link", name="Leads", exact=True).click()
    page.get_by_role("link", name="New lead").click()
    page.get_by_label("First name").fill("Kenji")
    page.get_by_label("Email", exact=True).fill("no address")
    page.get_by_role("button", name="Save", exact=True).click()
    page.get_by_text("An e-mail address such as").wait_for()
    me.shoot("lead-with-errors")
    page.get_by_label("Last name").fill("Sato")
    page.get_by_label("Company name").fill("Sato KK")
    page.get_by_label("Email", exact=True).fill("kenji@sato.example")
    page.get_by_role("button", name="Save", exact=True).click()
    page.get_by_role("heading", name="Kenji Sato · Sato KK").wait_for()
    assert me.accessibility_faults() == []

    page.get_by_role("link", name="Edit").click()
    page.get_by_label("Title").fill("Head of Purchasing")
    page.get_by_role("button", name="Save", exact=True).click()
    page.get_by_text("was saved").wait_for()
    page.get_by_role("link", name="History").click()
    page.get_by_text("Head of Purchasing").wait_for()
    assert "Ada Acme" in page.locator(".bo-history").inner_text()
    page.get_by_role("link", name="Back to record").click()

    page.get_by_role("link", name="Convert").click()
    page.get_by_label("Name of the deal").fill("Sato rollout")
    page.get_by_label("Amount").fill("5000")
    page.get_by_role("button", name="Convert").click()
    page.get_by_role("heading", name="Sato rollout").wait_for()

    page.get_by_role("link", name="Move").click()
    stage = page.get_by_label("Stage").locator("option").nth(1).inner_text().split(" (")[0]
    page.get_by_label("Stage").select_option(index=1)
    page.get_by_role("button", name="Move").click()
    page.get_by_text(f"Moved to {stage}").wait_for()
    me.shoot("deal-moved")
    with acme.acting():
        deal = Deal.objects.get(name="Sato rollout")
        assert PipelineStage.objects.get(pk=deal.stage_id).name == stage
        assert Lead.objects.get(pk=deal.lead_id).status == "converted"


def test_choosing_an_owner_by_typing(acme, visitor):
    with acme.acting() as actor:
        made = make_account(actor, name="Fabrikam")
    me = visitor()
    page = me.page
    me.sign_in("admin@acme.test")
    me.go(f"/admin/crm/account/{made.pk}/change/")
    me.choose("Owner", "Manager", "Manager Acme")
    page.get_by_role("button", name="Save", exact=True).click()
    page.get_by_text("was saved").wait_for()
    with acme.acting():
        assert Account.objects.get(pk=made.pk).owner_id == acme.users["manager"]


def test_filtering_a_list(acme, visitor):
    with acme.acting() as actor:
        make_lead(actor, last_name="Hot", rating="hot")
        make_lead(actor, last_name="Cold", rating="cold")
    me = visitor()
    page = me.page
    me.sign_in("admin@acme.test")
    me.go("/admin/crm/lead/")
    page.get_by_role("button", name="Filters").click()
    page.get_by_role("group", name="Rating").get_by_label("Hot").check()
    me.shoot("filters")
    page.get_by_role("button", name="Show", exact=True).click()
    page.wait_for_url("**/lead/?rating__in=hot")
    assert page.locator("#result_list tbody").count() == 1
    page.get_by_role("button", name="Filters (1)").wait_for()
    page.get_by_label("Search leads").fill("cold")
    page.get_by_role("button", name="Search", exact=True).click()
    page.get_by_text("No results").or_(page.get_by_text("0 leads")).first.wait_for()


def test_an_import_from_file_to_records(acme, visitor, tmp_path):
    file = tmp_path / "accounts.csv"
    file.write_text(CSV, encoding="utf-8")
    me = visitor()
    page = me.page
    me.sign_in("admin@acme.test")
    me.go("/admin/data_import/importjob/add/")
    assert me.accessibility_faults() == []
    page.get_by_label("File").set_input_files(file)
    page.get_by_label("What is in it").select_option("account")
    page.get_by_label("What to do").select_option("create")
    page.get_by_role("button", name="Upload").click()
    page.get_by_role("heading", name="Which column goes where").wait_for()
    assert me.accessibility_faults() == []
    page.get_by_label("Company", exact=True).select_option("name")
    page.get_by_label("Web site").select_option("website")
    page.get_by_label("City").select_option("billing_city")
    page.get_by_label("Kind").select_option("type")
    me.shoot("import-map")
    page.get_by_role("button", name="Check the file").click()
    page.get_by_role("heading", name="What would happen").wait_for()
    me.shoot("import-plan")
    assert me.accessibility_faults() == []
    page.get_by_role("heading", name="Rows with errors").wait_for()
    with page.expect_download() as download:
        page.get_by_role("link", name="Download all as CSV").click()
    assert "galaxy" in download.value.path().read_text()
    with acme.acting():
        assert Account.objects.count() == 0
    page.get_by_role("button", name="Import now").click()
    page.get_by_role("heading", name="Done").wait_for()
    me.shoot("import-done")
    page.get_by_role("link", name="Show what came in").click()
    page.get_by_role("link", name="Northwind Traders").wait_for()
    page.get_by_role("link", name="Fabrikam").wait_for()


def test_the_look_round_of_the_tutorial_is_as_it_says(acme, visitor, tmp_path):
    tour = (
        (ROOT / "docs" / "tutorial" / "first-hour.md")
        .read_text()
        .partition("## A look round")[2]
        .partition("\n## ")[0]
    )
    file = tmp_path / "customers.csv"
    file.write_text("\n".join(line.strip() for line in tour.splitlines() if line.startswith("    ")) + "\n")
    me = visitor()
    page = me.page
    me.sign_in("admin@acme.test")
    page.get_by_role("link", name="Import jobs").first.click()
    page.get_by_role("link", name="New import job").click()
    page.get_by_label("File").set_input_files(file)
    page.get_by_label("What is in it").select_option(label="Accounts")
    page.get_by_label("What to do").select_option(label="Create records")
    page.get_by_role("button", name="Upload").click()
    page.get_by_role("heading", name="Which column goes where").wait_for()
    proposed = [
        item.locator("option:checked").inner_text() for item in page.locator(".bo-map td select").all()
    ]
    assert proposed == ["Name *", "Website", "Billing city", "Billing country", "Number of employees"]
    page.get_by_role("button", name="Check the file").click()
    page.get_by_role("heading", name="What would happen").wait_for()
    assert "2 to create" in page.get_by_role("region", name="What would happen").inner_text()
    assert "Belgum" in page.get_by_role("region", name="Rows with errors").first.inner_text()
    page.get_by_role("button", name="Import now").click()
    page.get_by_role("link", name="Show what came in").click()
    page.get_by_role("link", name="Bramble Press").wait_for()
    page.get_by_label("Search everything").type("cove boat")
    page.locator(".bo-found").get_by_role("link", name="Cove Boatyard").click()
    page.get_by_role("heading", name="Cove Boatyard").wait_for()
    page.get_by_text("Ireland").wait_for()
    page.get_by_role("link", name="History").click()
    page.get_by_text("Ada Acme").first.wait_for()
    for said in (
        "Import jobs",
        "New import job",
        "Check the file",
        "Import now",
        "Show what came in",
        "Search everything",
    ):
        assert f"**{said}**" in tour


@pytest.fixture
def worker() -> Iterator[Callable[[], None]]:
    """`worker()` starts a real worker process on this test's database; until then jobs wait in Redis."""
    current_app.conf.task_always_eager = False
    broker = Redis.from_url(settings.REDIS_URL)
    broker.flushdb()
    children: list[subprocess.Popen[bytes]] = []

    def start() -> None:
        command = [sys.executable, "-m", "celery", "--app", "tests.core.jobs.celery_app", "worker"]
        command += ["--pool", "solo", "--without-gossip", "--without-mingle"]
        environment = child_environment(LOG_LEVEL="ERROR")
        children.append(subprocess.Popen(command, env=environment, cwd=ROOT, start_new_session=True))

    yield start
    for child in children:
        child.terminate()
        child.wait(timeout=60)
    broker.flushdb()
    broker.close()
    current_app.conf.task_always_eager = True


def test_a_real_file_with_a_worker_of_its_own(acme, globex, visitor, worker, data_dir):
    """8,800 rows of a sales team: the page follows the worker, and what came in is found in the history."""
    file = data_dir("crm_sales") / "sales_pipeline.csv"
    me = visitor()
    page = me.page
    page.add_init_script(PROGRESS)
    me.sign_in("admin@acme.test")
    me.go("/admin/data_import/importjob/add/")
    page.get_by_label("File").set_input_files(file)
    page.get_by_label("What is in it").select_option("deal")
    page.get_by_label("What to do").select_option("create")
    page.get_by_role("button", name="Upload").click()
    page.get_by_role("heading", name="Which column goes where").wait_for()
    for column, field in (
        ("opportunity_id", "name"),
        ("close_date", "close_date"),
        ("close_value", "amount"),
        ("sales_agent", ""),
        ("product", ""),
        ("account", ""),
        ("deal_stage", ""),
        ("engage_date", ""),
    ):
        page.get_by_label(column, exact=True).select_option(field)
    page.get_by_role("button", name="Check the file").click()
    # Nobody works yet: the page says so and waits.
    page.get_by_role("heading", name="Working on it").wait_for()
    page.get_by_role("progressbar", name="Working on it").wait_for()
    assert me.accessibility_faults() == []
    me.shoot("import-running")
    worker()
    page.get_by_role("heading", name="What would happen").wait_for(timeout=120_000)
    plan = page.get_by_role("region", name="What would happen").inner_text()
    assert "6,711 to create" in plan
    assert "2,089 with errors" in plan
    with acme.acting():
        assert not Deal.objects.exists()
    page.evaluate("sessionStorage.clear()")
    # However quick the worker is, the page shows it at work.
    with transaction.atomic(), acme.acting(), connection.cursor() as cursor:
        cursor.execute("LOCK TABLE crm_deal IN SHARE MODE")
        page.get_by_role("button", name="Import now").click()
        page.get_by_text(re.compile(r"Importing: ")).wait_for(timeout=120_000)
    page.get_by_role("heading", name="Done").wait_for(timeout=120_000)
    said = json.loads(page.evaluate("sessionStorage.said || '[]'"))
    assert any(re.fullmatch(r"Importing: [\d,]+ of [\d,]+ rows", text) for text, _ in said), said
    assert [value for _, value in said] == sorted(value for _, value in said)
    with acme.acting():
        assert Deal.objects.count() == 6_711
    with globex.acting():
        assert not Deal.objects.exists()
    assert me.accessibility_faults() == []
    me.shoot("import-real-done")

    me.go("/admin/data_import/importjob/")
    page.get_by_role("row", name=re.compile("sales_pipeline.csv")).get_by_text("6,711").wait_for()
    me.go("/admin/crm/deal/?q=1C1I7A6R")
    page.get_by_role("link", name="1C1I7A6R").click()
    page.get_by_role("heading", name="1C1I7A6R").wait_for()
    page.get_by_role("link", name="History").click()
    page.get_by_role("heading", name="History of 1C1I7A6R").wait_for()
    assert "Ada Acme created" in page.locator(".bo-history").inner_text()


def test_lines_of_a_deal_and_a_key(acme, visitor):
    with acme.acting() as actor:
        deal = make_deal(actor, name="Rollout", currency="USD")
        make_product(actor, name="Licence", unit_price="30", currency="USD")
    me = visitor()
    page = me.page
    me.sign_in("admin@acme.test")
    me.go(f"/admin/crm/deal/{deal.pk}/change/")
    page.get_by_role("button", name="Add a line").click()
    line = page.get_by_role("group", name="New line")
    me.choose("Product", "Lic", "Licence")
    line.get_by_label("Quantity").fill("none")
    assert me.accessibility_faults() == []
    page.get_by_role("button", name="Save", exact=True).click()
    page.get_by_role("group", name="Line 1").get_by_role("alert").wait_for()
    me.shoot("line-with-error")
    assert me.accessibility_faults() == []
    page.get_by_role("group", name="Line 1").get_by_label("Quantity").fill("3")
    page.get_by_role("button", name="Save", exact=True).click()
    page.get_by_text("was saved").wait_for()
    page.get_by_text("$90").first.wait_for()

    me.go("/admin/core/apikey/")
    page.get_by_role("link", name="New API key").click()
    page.get_by_label("Name").fill("Nightly export")
    page.get_by_label("Read any record").check()
    assert me.accessibility_faults() == []
    page.get_by_role("button", name="Make the key").click()
    page.get_by_role("heading", name="Copy the key now").wait_for()
    me.shoot("new-secret")
    assert me.accessibility_faults() == []
    page.get_by_role("link", name="I have copied it").click()
    page.get_by_role("heading", name="Nightly export").wait_for()


def test_a_whole_flow_by_keyboard_alone(acme, visitor):
    me = visitor()
    page = me.page
    keys = page.keyboard

    def tab_to(name: str, role: str = "") -> None:
        """Press Tab until the control called `name` has the focus."""
        for _ in range(120):
            keys.press("Tab")
            found = page.evaluate(FOCUSED)
            if found[0].startswith(name) and role in ("", found[1]):
                return
        raise AssertionError(f"{name} cannot be reached")

    me.go("/admin/login/")
    page.wait_for_function("document.activeElement.name === 'username'")
    keys.type("admin@acme.test")
    keys.press("Tab")
    keys.type("a quiet harbor at dawn")
    keys.press("Enter")
    page.get_by_role("heading", name="Home", exact=True).wait_for()
    page.wait_for_load_state("networkidle")
    keys.press("Tab")
    assert page.evaluate("document.activeElement.className") == "bo-skip"
    tab_to("Contacts", "a")
    keys.press("Enter")
    page.get_by_role("heading", name="Contacts", exact=True).wait_for()
    tab_to("New contact", "a")
    keys.press("Enter")
    page.get_by_role("heading", name="New contact").wait_for()
    tab_to("Last name")
    keys.type("Whitfield")
    tab_to("Save", "button")
    keys.press("Enter")
    page.get_by_role("heading", name="Whitfield").wait_for()
    tab_to("Account: Ada Acme", "summary")
    keys.press("Enter")
    keys.press("Escape")
    assert page.evaluate("document.activeElement.getAttribute('aria-label')") == "Account: Ada Acme"
