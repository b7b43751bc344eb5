"""G4, G5: the list and the write of an entity through the whole house, beside a bare application."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from urllib.parse import urlencode

from benchmarks import world
from benchmarks.measuring import MANY_ROUNDS, Section, interleaved, ratio
from benchmarks.serving import Call, requests_per_second, served

NEW_CONTACT: Mapping[str, object] = {
    "salutation": "Ms",
    "first_name": "Ada",
    "last_name": "Lovelace",
    "title": "CTO",
    "department": "IT",
    "email": "ada@example.com",
    "phone": "+15551234567",
    "mobile": "+15557654321",
    "lead_source": "web",
    "lifecycle_stage": "customer",
    "birth_date": "1980-01-02",
    "preferred_language": "en",
    "do_not_call": False,
    "mailing_street": "1 Main Street",
    "mailing_city": "Paris",
    "mailing_state": "IDF",
    "mailing_postal_code": "75001",
    "mailing_country": "FR",
    "description": "Met at the fair, wants a quote.",
    "tags": ["fair", "new"],
}


def rival_environ() -> dict[str, str]:
    """What the rivals' applications need to know."""
    return {
        "BENCH_CONNINFO": world.conninfo(),
        "BENCH_COMPANY": str(world.house("book").company_id),
        "BENCH_WRITES": str(world.house("writes").company_id),
        "BENCH_TABLE": world.RIVAL_TABLE,
        "BENCH_FIELDS": json.dumps(world.FIELDS),
    }


def our_environ() -> dict[str, str]:
    return {"LOG_FORMAT": "json", "LOG_LEVEL": os.environ.get("LOG_LEVEL", "INFO")}


def contacts_url(base: str, **parameters: object) -> str:
    return f"{base}/api/v1/contacts/?{urlencode(parameters)}"


def list_goal(goal: str, rows: int, bound: float, seconds: float) -> Section:
    """A page of `rows` contacts with 27 fields."""
    section = Section(goal, f"A page of {rows} contacts with {len(world.FIELDS)} fields")
    book = world.house("book")
    fields = ",".join(world.FIELDS)
    application = "benchmarks.rivals.frameworks:application"
    with (
        served("benchmarks.rivals.raw:application", rival_environ()) as raw,
        served(application, rival_environ()) as frameworks,
        served("config.wsgi:application", our_environ()) as ours,
    ):
        token = book.token()
        calls = {
            "bare WSGI, psycopg, orjson": Call(f"{raw}/?limit={rows}"),
            "Atrium, by cursor": Call(contacts_url(ours, page_size=rows, cursor="", fields=fields), token),
            "Atrium, numbered page with capped count": Call(
                contacts_url(ours, page_size=rows, fields=fields), token
            ),
            "django-ninja ModelSchema": Call(f"{frameworks}/ninja/contacts/?limit={rows}"),
            "DRF ModelViewSet, cursor": Call(f"{frameworks}/drf-cursor/contacts/?limit={rows}"),
            "DRF ModelViewSet, exact count": Call(f"{frameworks}/drf/contacts/?limit={rows}"),
        }
        _compare(calls, rows)
        found = interleaved(
            {name: lambda call=call: requests_per_second(call, seconds) for name, call in calls.items()},
            MANY_ROUNDS,
        )
    anchor, by_cursor, numbered, *_ = calls
    section.add(found, "requests/s", anchor)
    section.judge(
        "by cursor, of the bare application", ratio(found[by_cursor], found[anchor]), at_least=bound
    )
    section.judge(
        "numbered page, of the bare application", ratio(found[numbered], found[anchor]), at_least=bound
    )
    section.notes.append(
        "Ours with sign-in by JWT read afresh, company context, row-level security, role and field view; theirs without."
    )
    return section


def _compare(calls: Mapping[str, Call], rows: int) -> None:
    """Everybody answers the same contacts, or there is nothing to compare."""
    shown: dict[str, list[str]] = {}
    for name, call in calls.items():
        answer = json.loads(call.once())
        found = answer if isinstance(answer, list) else answer["results"]
        assert len(found) == rows, (name, len(found))
        assert len(found[0]) == len(world.FIELDS), (name, sorted(found[0]))
        shown[name] = [row["id"] for row in found]
    assert len({tuple(ids) for ids in shown.values()}) == 1, {name: ids[:2] for name, ids in shown.items()}


def write_goal(seconds: float) -> Section:
    """One contact by POST: checked, logged, committed."""
    section = Section("G5", "A contact created by POST")
    writes = world.house("writes")
    world.empty(writes)
    application = "benchmarks.rivals.frameworks:application"
    with (
        served("benchmarks.rivals.raw:application", rival_environ()) as raw,
        served(application, rival_environ()) as frameworks,
        served("config.wsgi:application", our_environ()) as ours,
    ):
        token = writes.token()
        body = dict(NEW_CONTACT)
        calls = {
            "bare WSGI, psycopg, orjson": Call(f"{raw}/", body=body),
            "Atrium": Call(contacts_url(ours, fields=",".join(world.FIELDS)), token, body),
            "django-ninja": Call(f"{frameworks}/ninja/contacts/", body=body),
            "DRF ModelViewSet": Call(f"{frameworks}/drf/contacts/", body=body),
        }
        for call in calls.values():
            call.once()
        found = interleaved(
            {name: lambda call=call: requests_per_second(call, seconds) for name, call in calls.items()},
            MANY_ROUNDS,
        )
    world.empty(writes)
    anchor, atrium, *_ = calls
    section.add(found, "requests/s", anchor)
    section.judge("create, of the bare application", ratio(found[atrium], found[anchor]), at_least=0.35)
    return section
