"""G21: sealing and verifying the change log. G22: exploring millions of its entries through the API."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from datetime import timedelta
from hashlib import sha256
from urllib.parse import urlencode

from django.test import Client
from django.utils import timezone

from audit.models import AuditSeal
from audit.operations.seals import seal_new
from audit.sealing.entries import read_between
from audit.sealing.verifying import verify_company
from benchmarks import world
from benchmarks.measuring import Section, interleaved, ratio, seconds
from core.kernel.transactions import unit_of_work
from core.tenancy.context import system_context

FEW, MANY, SEALED = 100_000, 5_000_000, 1_000_000
DAYS = 60
# Of so many entries one changed the field that is looked for.
RARE = 5_000
USERS = 200
MOST_SECONDS = 10
_RECORD = "00000000-0000-7000-8000-000000000007"
_USER = "00000000-0000-7000-8000-000000000003"


def _at(number: str) -> str:
    """When an entry was written: the last one just now."""
    return f"now() - (1 - ({number} - %(first)s)::float / (%(last)s - %(first)s)) * interval '{DAYS} days'"


def _forget(home: world.House) -> None:
    with world.owner() as connection:
        for table in ("audit_auditseal", "core_changelog", "core_changecontext"):
            connection.execute(f"DELETE FROM {table} WHERE company_id = %s", [home.company_id])


def _write(home: world.House, first: int, last: int) -> None:
    """Entries number `first` to `last`, spread over the days before today; ten share a context."""
    params = {"company": home.company_id, "first": first, "last": last}
    with world.owner() as connection, connection.transaction():
        connection.execute(
            f"""INSERT INTO core_changecontext (id, company_id, at, actor_id, source, ip, correlation_id)
            OVERRIDING SYSTEM VALUE
            SELECT 1000000000 + g, %(company)s, {_at("g * 10")},
              ('00000000-0000-7000-8000-' || lpad(to_hex(g %% {USERS}), 12, '0'))::uuid, 'api', '10.0.0.1', 'r' || g
            FROM generate_series(%(first)s / 10, %(last)s / 10) g ON CONFLICT DO NOTHING""",
            params,
        )
        connection.execute(
            f"""INSERT INTO core_changelog (company_id, at, action, entity_type, entity_id, old_values, new_values,
              changed_fields, context_id)
            SELECT %(company)s, {_at("g / 10 * 10")}, 'update', 'contact',
              ('00000000-0000-7000-8000-' || lpad(to_hex(g / 20), 12, '0'))::uuid,
              jsonb_build_object('title', 'Analyst ' || g), jsonb_build_object('title', 'Buyer ' || g),
              CASE WHEN g %% {RARE} = 0 THEN ARRAY['department', 'title'] ELSE ARRAY['title'] END, 1000000000 + g / 10
            FROM generate_series(%(first)s, %(last)s) g""",
            params,
        )
    with world.owner() as connection:
        connection.execute("VACUUM ANALYZE core_changelog")
        connection.execute("VACUUM ANALYZE core_changecontext")


def sealing() -> Section:
    section = Section("G21", f"{SEALED:,} entries of the change log sealed and verified")
    home = world.house("sealed")
    _forget(home)
    # What others wrote is not measured.
    seal_new(now=timezone.now)
    _write(home, 1, SEALED)
    sealed = seconds(lambda: seal_new(now=timezone.now))

    def verify() -> None:
        with system_context("a benchmark"), unit_of_work():
            found = verify_company(home.company_id)
        assert found.is_intact, found.problems[:3]
        assert found.entries >= SEALED

    def hash_alone() -> None:
        with system_context("a benchmark"), unit_of_work():
            places = AuditSeal.objects.filter(company_id=home.company_id).order_by("number")
            for place in places.values_list("after_xid", "after_id", "until_xid", "until_id"):
                for _, facts, values in read_between(home.company_id, place[:2], place[2:]):
                    sha256(facts).digest()
                    sha256(values).digest()

    found = interleaved(
        {
            "reading and hashing the same bytes": lambda: seconds(hash_alone),
            "audit_verify": lambda: seconds(verify),
        },
        rounds=3,
        warm=0,
    )
    section.add(found, "s", "reading and hashing the same bytes")
    section.notes.append(f"Sealing took {sealed:.1f} s: {SEALED / sealed:,.0f} entries a second.")
    section.judge(
        "a million entries verified, s", statistics.median(found["audit_verify"]), at_most=MOST_SECONDS
    )
    _forget(home)
    return section


def exploring() -> Section:
    section = Section("G22", f"The explorer over {MANY:,} entries of one company, through the API")
    home = world.house("explored")
    _forget(home)
    client = Client()
    day = timezone.now() - timedelta(days=2)
    asked: Mapping[str, dict[str, str]] = {
        "newest": {},
        "by record": {"entity_id": _RECORD},
        "by user and day": {
            "user": _USER,
            "at__gte": day.isoformat(),
            "at__lt": (day + timedelta(days=1)).isoformat(),
        },
        "by field": {"field": "department"},
    }

    def read(query: dict[str, str], token: str) -> Callable[[], float]:
        url = f"/api/v1/audit/logs/?{urlencode({'cursor': '', 'page_size': '5', **query})}"

        def once() -> None:
            answer = client.get(url, headers={"Authorization": f"Bearer {token}"})
            assert answer.status_code == 200, answer.content

        return lambda: seconds(once)

    measured: list[dict[str, list[float]]] = []
    for first, last in ((1, FEW), (FEW + 1, MANY)):
        _write(home, first, last)
        token = home.token()
        measured.append(
            interleaved({name: read(query, token) for name, query in asked.items()}, rounds=7, warm=2)
        )
    few, many = measured
    for name in asked:
        section.add(
            {f"{name}, of {FEW:,}": few[name], f"{name}, of {MANY:,}": many[name]},
            "ms",
            f"{name}, of {FEW:,}",
            1e3,
        )
        if name != "newest":
            section.judge(name, ratio(many[name], few[name]), at_most=2)
    _forget(home)
    return section
