"""A list that nothing narrows is compiled once, and answers as one that is compiled each time."""

from __future__ import annotations

from typing import Any

import pytest

from core.access.output import Output
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

    @pytest.fixture
    def seven_is_large(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(listing, "EXACT_COUNT_LIMIT", 2)
        monkeypatch.setattr(listing, "LARGE_COUNT", 3)
        monkeypatch.setattr(listing, "_large_counts", {})

    @pytest.mark.usefixtures("seven_is_large")
    def test_remember_a_large_total_for_some_seconds(
        self, books: tuple[World, World], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        large, small = (world.client() for world in books)
        url = "/api/v1/contacts/?page_size=1"

        def total(client: Any, more: str = "") -> tuple[int, bool]:
            page = client.get(url + more).json()
            return page["count"], page["count_is_exact"]

        before = total(large)
        monkeypatch.setattr(listing, "_counted", lambda sql, params: (99, False))

        assert before[1] is False
        assert total(large) == before
        assert total(large, "&count=exact") == (7, True)
        assert total(small) == (99, False)

        monkeypatch.setattr(listing, "LARGE_COUNT_SECONDS", -1)
        monkeypatch.setattr(listing, "_large_counts", {})
        assert [total(large), total(large)] == [(99, False)] * 2

    @pytest.mark.usefixtures("seven_is_large")
    def test_keep_a_total_that_grows_old_while_the_page_is_read(
        self, books: tuple[World, World], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        client, url = books[0].client(), "/api/v1/contacts/?page_size=1"
        first = client.get(url).json()
        read = Output.documents_of

        def slow(self: Output, *args: Any, **kwargs: Any) -> list[Any]:
            rows = read(self, *args, **kwargs)
            listing._large_counts.clear()
            return rows

        monkeypatch.setattr(Output, "documents_of", slow)

        assert client.get(url).json() == first
