"""Lists that are no entities keep the contract of every list: shown with the jobs of a company."""

from __future__ import annotations

from typing import Any

import pytest
from django.utils import timezone

from core.jobs import NewJob
from core.jobs.models import Job
from core.jobs.operations import enqueue_many
from core.rest.filtered_lists import FilteredListView
from core.rest.listing import MAX_OFFSET
from core.rest.schema.views import openapi_document
from tests.conformance.operations import operations
from tests.worlds import World

JOBS = "/api/v1/jobs/"
PAYLOAD = {"job": "00000000-0000-7000-8000-000000000000"}


def make(world: World, count: int) -> list[str]:
    """Jobs of one moment, so that only the tie-breaker orders them; newest first."""
    with world.acting():
        jobs = [NewJob(PAYLOAD, subject=str(number)) for number in range(count)]
        made = enqueue_many(kind="import.run", jobs=jobs, now=timezone.now())
    return [str(job) for job in sorted(made, reverse=True)]


def get(world: World, query: str = "") -> Any:
    return world.client("admin").get(f"{JOBS}?{query}" if not query.startswith("http") else query)


def ids(answer: Any) -> list[str]:
    assert answer.status_code == 200, answer.content
    return [row["id"] for row in answer.json()["results"]]


def faults(answer: Any) -> list[tuple[str, str]]:
    assert answer.status_code == 400, answer.content
    return [(fault["path"], fault["code"]) for fault in answer.json()["errors"]]


class TestPages:
    def test_hold_every_row_once_and_say_how_many_there_are(self, acme: World) -> None:
        made = make(acme, 5)
        first = get(acme, "page_size=2")
        assert (first.json()["count"], first.json()["count_is_exact"], first.json()["previous"]) == (
            5,
            True,
            None,
        )
        second = get(acme, first.json()["next"])
        third = get(acme, second.json()["next"])
        assert ids(first) + ids(second) + ids(third) == made
        assert third.json()["next"] is None
        assert ids(get(acme, third.json()["previous"])) == ids(second)

    def test_end_with_a_404(self, acme: World) -> None:
        make(acme, 1)
        answer = get(acme, "page=2")
        assert (answer.status_code, answer.json()["code"]) == (404, "no_such_page")

    def test_count_beyond_the_limit_by_estimate_unless_asked(
        self, acme: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        make(acme, 4)
        monkeypatch.setattr("core.rest.listing.EXACT_COUNT_LIMIT", 2)
        assert get(acme, "page_size=1").json()["count_is_exact"] is False
        exact = get(acme, "page_size=1&count=exact").json()
        assert (exact["count"], exact["count_is_exact"]) == (4, True)


class TestCursor:
    def test_walks_forth_and_back_without_a_count(self, acme: World) -> None:
        made = make(acme, 5)
        pages = [get(acme, "cursor=&page_size=2")]
        while (following := pages[-1].json()["next"]) is not None:
            pages.append(get(acme, following))
        assert [ids(page) for page in pages] == [made[:2], made[2:4], made[4:]]
        assert "count" not in pages[0].json()
        back = get(acme, pages[2].json()["previous"])
        assert ids(back) == made[2:4]
        assert ids(get(acme, back.json()["previous"])) == made[:2]

    def test_keeps_its_place_when_rows_come_and_go(self, acme: World) -> None:
        made = make(acme, 4)
        first = get(acme, "cursor=&page_size=2").json()
        make(acme, 2)
        with acme.acting():
            Job.objects.filter(pk=made[1]).delete()
        assert ids(get(acme, first["next"])) == made[2:]

    def test_is_refused_in_another_order_and_in_another_company(self, acme: World, globex: World) -> None:
        make(acme, 3)
        make(globex, 3)
        cursor = get(acme, "cursor=&page_size=1").json()["next"].partition("cursor=")[2]
        assert faults(get(acme, f"cursor={cursor}&ordering=created_at")) == [("cursor", "bad_cursor")]
        assert faults(get(globex, f"cursor={cursor}")) == [("cursor", "bad_cursor")]
        assert faults(get(acme, "cursor=made-up")) == [("cursor", "bad_cursor")]


class TestRefusals:
    @pytest.mark.parametrize(
        ("query", "expected"),
        [
            ("status=done", ("status", "unknown_parameter")),
            ("state=gone", ("state", "not_a_choice")),
            ("state=", ("state", "empty_value")),
            ("state=done&state=failed", ("state", "repeated")),
            ("state__in=done,gone", ("state__in", "not_a_choice")),
            ("created_by=me", ("created_by", "not_an_id")),
            ("created_at__gte=yesterday", ("created_at__gte", "not_a_datetime")),
            ("created_at__gte=0001-01-01T00:00:00%2B14:00", ("created_at__gte", "not_a_datetime")),
            ("created_at__gte=%00", ("created_at__gte", "not_a_datetime")),
            ("ordering=payload", ("ordering", "unknown_ordering")),
            ("page=0", ("page", "not_an_integer")),
            ("page=%D9%A3", ("page", "not_an_integer")),
            ("page_size=501", ("page_size", "too_large")),
            (f"page={MAX_OFFSET}", ("page", "too_deep")),
            ("count=all", ("count", "not_a_choice")),
            ("cursor=&page=1", ("cursor", "not_together")),
        ],
    )
    def test_name_the_parameter(self, acme: World, query: str, expected: tuple[str, str]) -> None:
        assert faults(get(acme, query)) == [expected]

    def test_come_all_at_once(self, acme: World) -> None:
        found = faults(get(acme, "state=gone&page=0&ordering=nope"))
        assert {path for path, _ in found} == {"state", "page", "ordering"}

    def test_say_what_there_is(self, acme: World) -> None:
        [fault] = get(acme, "status=done").json()["errors"]
        assert "state__in" in fault["detail"]
        [fault] = get(acme, "ordering=payload").json()["errors"]
        assert "created_at" in fault["detail"]


class TestTimes:
    def test_without_an_offset_are_read_in_the_zone_of_the_company(self, acme: World) -> None:
        [made] = make(acme, 1)
        with acme.acting():
            Job.objects.filter(pk=made).update(created_at="2026-06-30T22:30:00Z")
        assert (
            acme.client("admin").patch("/api/v1/company/", {"timezone": "Europe/Berlin"}).status_code == 200
        )
        assert ids(get(acme, "created_at__gte=2026-07-01T00:00:00")) == [made]
        assert ids(get(acme, "created_at__gte=2026-07-01T00:00:00Z")) == []


class TestDocument:
    def test_lists_filters_paging_and_order_of_every_such_list(self) -> None:
        document: Any = openapi_document()
        found = [
            item for item in operations() if issubclass(item.view, FilteredListView) and item.method == "GET"
        ]
        assert {item.name for item in found} >= {"GET /jobs/", "GET /data-import/jobs/{pk}/staging/"}
        for item in found:
            entry = item.documented
            assert entry is not None
            named = {
                parameter.get("name") or parameter["$ref"].rsplit("/", 1)[-1]
                for parameter in entry["parameters"]
            }
            assert {"Page", "PageSize", "Cursor", "Count", "ordering"} <= named, item.name
            assert set(item.view.filterset_class.base_filters) <= named, item.name
            described = [parameter for parameter in entry["parameters"] if "name" in parameter]
            assert all(parameter.get("description") for parameter in described if parameter["in"] == "query")
            schema = entry["responses"]["200"]["content"]["application/json"]["schema"]
            page = document["components"]["schemas"][schema["$ref"].rsplit("/", 1)[-1]]
            assert set(page["required"]) == {"next", "previous", "results"}
