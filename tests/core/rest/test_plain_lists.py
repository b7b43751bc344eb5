"""A list that nothing narrows is compiled once, and answers as one that is compiled each time."""

from __future__ import annotations

from typing import Any

import pytest

from core.rest import listing
from tests.worlds import World

# Narrows nothing, and yet is a condition.
EVERYBODY = "&version__gte=1"


def _walk(client: Any, url: str, direction: str = "next") -> list[list[str]]:
    pages = []
    link: str | None = url
    while link:
        page = client.get(link).json()
        pages.append([contact["last_name"] for contact in page["results"]])
        link = page[direction]
    return pages


@pytest.fixture
def books(acme: World, globex: World) -> tuple[World, World]:
    for world, count in ((acme, 7), (globex, 3)):
        for number in range(count):
            world.client().post("/api/v1/contacts/", {"last_name": f"{world.company.slug} {number}"})
    return acme, globex


class TestPlainLists:
    @pytest.mark.parametrize(
        "ordering", ["", "&ordering=-created_at", "&ordering=updated_at,-id", "&ordering=id"]
    )
    def test_walk_as_narrowed_lists_do(self, books: tuple[World, World], ordering: str) -> None:
        for world in books:
            url = f"/api/v1/contacts/?page_size=2&cursor={ordering}"
            plain = _walk(world.client(), url)

            assert plain == _walk(world.client(), url + EVERYBODY)
            assert len({name for page in plain for name in page}) == sum(map(len, plain)) > 2

    def test_walk_back_as_narrowed_lists_do(self, books: tuple[World, World]) -> None:
        client = books[0].client()
        url = "/api/v1/contacts/?page_size=2&cursor="
        for tail in ("", EVERYBODY):
            last = url + tail
            while link := client.get(last).json()["next"]:
                last = link
            forth = _walk(client, url + tail)
            back = _walk(client, last, "previous")

            assert [name for page in reversed(back) for name in page] == [
                name for page in forth for name in page
            ]

    def test_number_and_count_their_pages_as_narrowed_lists_do(self, books: tuple[World, World]) -> None:
        for world in books:
            for page in (1, 2):
                url = f"/api/v1/contacts/?page_size=2&page={page}"
                plain, narrowed = world.client().get(url).json(), world.client().get(url + EVERYBODY).json()

                assert plain["results"] == narrowed["results"]
                assert plain["count"] == narrowed["count"]

    def test_show_a_seller_their_own_records_only(self, books: tuple[World, World]) -> None:
        seller = books[0].client("sales")
        seller.post("/api/v1/contacts/", {"last_name": "Mine"})
        books[0].client().get("/api/v1/contacts/")

        assert [row["last_name"] for row in seller.get("/api/v1/contacts/").json()["results"]] == ["Mine"]

    def test_estimate_a_large_total_unless_an_exact_one_is_asked_for(
        self, books: tuple[World, World], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(listing, "EXACT_COUNT_LIMIT", 2)
        client, url = books[0].client(), "/api/v1/contacts/?page_size=1"

        assert client.get(url).json()["count_is_exact"] is False
        exact = client.get(url + "&count=exact").json()
        assert (exact["count"], exact["count_is_exact"]) == (7, True)
