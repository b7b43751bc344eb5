"""The tree, moving and the rule tester in the back office."""

from __future__ import annotations

from typing import Any

import pytest

from tests.backoffice.conftest import Office, office, text_of
from tests.worlds import World

__all__ = ["office"]
pytestmark = pytest.mark.django_db
TREE, TEST = "/admin/territory-tree/", "/admin/territory-test/"


def test_the_tree_shows_rolled_up_figures_two_levels_at_a_time(
    acme: World, globex: World, make_territory: Any, office: Office
) -> None:
    root = make_territory("Root")
    one = make_territory("One", root)
    two = make_territory("Two", one)
    make_territory("Three", two)
    acme.client().post("/api/v1/accounts/", {"name": "Northwind", "territory": two["id"]})
    page = text_of(office(acme).get(TREE))
    assert "Three" not in page
    assert "1 below" in page
    assert '<td class="bo-number" data-label="Accounts">1</td>' in page
    assert "Three" in text_of(office(acme).get(f"{TREE}?root={two['id']}"))
    assert "Root" not in text_of(office(globex).get(f"{TREE}?root={two['id']}"))
    assert "draggable" not in text_of(office(acme, "sales").get(TREE))


def test_a_move_shows_its_effect_before_it_is_confirmed(
    acme: World, globex: World, make_territory: Any, office: Office
) -> None:
    root, other = make_territory("Root"), make_territory("Other")
    child = make_territory("Child", root)
    make_territory("Grandchild", child)
    place = f"/admin/territories/territory/{child['id']}/place/"
    client = office(acme)
    shown = text_of(client.get(f"{place}?to={other['id']}"))
    assert "/root/child/" in shown
    assert "/other/child/" in shown
    assert "1 territory below it" in " ".join(shown.split())
    assert acme.client().get(f"/api/v1/territories/{child['id']}/").json()["hierarchy_path"] == "/root/child/"
    assert client.post(place, {"to": other["id"]}).status_code == 302
    assert (
        acme.client().get(f"/api/v1/territories/{child['id']}/").json()["hierarchy_path"] == "/other/child/"
    )
    below = text_of(client.get(f"{place}?to={child['id']}"))
    assert "What changes" not in below
    assert office(globex).get(place).status_code == 404
    assert office(acme, "sales").get(place).status_code == 404


def test_the_tester_says_which_rule_decides(
    acme: World, globex: World, make_territory: Any, office: Office
) -> None:
    here = make_territory("Here")
    for name, value, priority in (("Energy", "energy", 1), ("Retail", "retail", 2)):
        condition = {"field": "industry", "operator": "eq", "value": value}
        body = {"name": name, "entity_type": "account", "condition": condition, "priority": priority}
        acme.client().post(f"/api/v1/territories/{here['id']}/rules/", body)
    record = acme.client().post("/api/v1/accounts/", {"name": "Northwind", "industry": "retail"}).json()
    page = text_of(office(acme).get(TEST, {"kind": "account", "record": record["id"]}))
    assert "The rules put it into <strong>Here</strong>" in page
    assert "industry eq: the record has retail" in page
    for who, asked in (
        (office(globex), record["id"]),
        (office(acme), "nonsense"),
        (office(acme), "01977c3e-5f5a-7c3a-9d6e-0d5c5b1f2a11"),
    ):
        assert "There is no such record." in text_of(who.get(TEST, {"kind": "account", "record": asked}))
    assert office(acme, "manager").get(TEST).status_code == 404
