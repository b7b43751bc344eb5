"""G10: a page deep in a million records by cursor, through the API."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable

from benchmarks import world
from benchmarks.goals.lists import contacts_url, our_environ
from benchmarks.measuring import MANY_ROUNDS, Section, interleaved, ratio
from benchmarks.serving import Call, requests_per_second, served

_DEPTH = 900_000


def goal(duration: float) -> Section:
    section = Section("G10", f"A page of 100 contacts of {world.DEEP:,}, through the API")
    deep = world.house("deep")
    world.fill(deep, world.DEEP)
    with world.owner() as connection:
        row = connection.execute(
            "SELECT created_at FROM crm_contact WHERE company_id = %s AND deleted_at IS NULL "
            "ORDER BY created_at DESC, id DESC OFFSET %s LIMIT 1",
            [deep.company_id, _DEPTH],
        ).fetchone()
    assert row is not None
    with served("config.wsgi:application", our_environ()) as ours:
        token = deep.token()
        # Walking there takes a while: the place is found by a filter, and the next page's cursor has the same form.
        first = Call(contacts_url(ours, page_size=100, cursor=""), token)
        numbered = Call(contacts_url(ours, page_size=100), token)
        beside = Call(contacts_url(ours, page_size=1, cursor="", created_at__lte=row[0].isoformat()), token)
        cursor = json.loads(beside.once())["next"].split("cursor=")[1].split("&")[0]
        far = Call(f"{ours}/api/v1/contacts/?page_size=100&cursor={cursor}", token)
        assert len(json.loads(far.once())["results"]) == 100
        total = json.loads(numbered.once())
        assert not total["count_is_exact"], "a total of a million records is an estimate"
        section.notes.append(f"The numbered page says {total['count']:,} records, marked as an estimate.")

        def read(call: Call) -> Callable[[], float]:
            return lambda: 1 / requests_per_second(call, duration)

        found = interleaved(
            {
                "first page": read(first),
                f"behind {_DEPTH:,} records": read(far),
                "numbered, with total": read(numbered),
            },
            MANY_ROUNDS,
        )
    section.add(found, "ms a request", "first page", 1e3)
    section.judge("deep page", ratio(found[f"behind {_DEPTH:,} records"], found["first page"]), at_most=1.3)
    section.notes.append(f"Median of the first page: {statistics.median(found['first page']) * 1e3:.1f} ms.")
    return section
