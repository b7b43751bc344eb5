"""Query strings that come again, and those that are too long to be kept."""

from __future__ import annotations

import pytest

from core.rest import views
from tests.worlds import World


def _names(world: World, query: str) -> list[str]:
    answer = world.client().get(f"/api/v1/accounts/?{query}")
    assert answer.status_code == 200, answer.content
    return [account["name"] for account in answer.json()["results"]]


@pytest.mark.parametrize("name", ["Nørd", "N%C3%B8rd"])
def test_mean_the_same_to_everybody_each_time(acme: World, globex: World, name: str) -> None:
    for world in (acme, globex, acme):
        world.client().post("/api/v1/accounts/", {"name": "Nørd"})
        world.client().post("/api/v1/accounts/", {"name": "Other"})
    for _ in range(2):
        assert _names(acme, f"name={name}&fields=name") == ["Nørd"] * 2
        assert _names(globex, f"name={name}&fields=name") == ["Nørd"]


def test_are_read_at_any_length(acme: World) -> None:
    acme.client().post("/api/v1/accounts/", {"name": "Northwind"})
    many = ",".join(["name"] * views.LONGEST_KEPT)
    assert _names(acme, f"fields={many}") == ["Northwind"]
    refused = acme.client().get("/api/v1/accounts/?" + f"nope={'x' * views.LONGEST_KEPT}")
    assert (refused.status_code, refused.json()["errors"][0]["path"]) == (400, "nope")


def test_that_are_wrong_are_refused_each_time(acme: World) -> None:
    for _ in range(2):
        refused = acme.client().get("/api/v1/accounts/?page_size=1&page_size=2")
        assert refused.status_code == 400
        assert [(fault["path"], fault["code"]) for fault in refused.json()["errors"]] == [
            ("page_size", "repeated")
        ]


@pytest.mark.parametrize("signs", [views.LONGEST_KEPT, views.LONGEST_KEPT + 1, 1_001])
def test_of_separators_alone_are_answered(acme: World, signs: int) -> None:
    answer = acme.client().get("/api/v1/accounts/?" + "&" * signs)
    assert answer.status_code == (413 if signs >= 1_000 else 200)
    assert answer["Content-Type"] == ("application/problem+json" if signs >= 1_000 else "application/json")


def test_kept_ones_are_bounded(acme: World) -> None:
    assert views._query.cache_info().maxsize == 1_024
    kept = views._query.cache_info().currsize
    _names(acme, "fields=" + ",".join(["name"] * views.LONGEST_KEPT))
    assert views._query.cache_info().currsize == kept
