"""The database that is measured: its own home, durable settings, rows made in sets."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import UUID

import psycopg
from django.conf import settings
from django.core.management import call_command
from django.utils import timezone

from core.identity import queries
from core.identity.models import Company, User
from core.identity.operations.companies import create_company
from core.identity.operations.sessions import open_session
from core.kernel.transactions import unit_of_work
from core.tenancy.actors import Actor
from core.tenancy.context import system_context

PASSWORD = "a quiet harbor at dawn"  # noqa: S105 - of an invented person
BOOK = 100_000
DEEP = 1_000_000

# The 27 fields of a contact that every contestant lists, and what they are called in the table.
FIELDS = {
    "id": "id",
    "owner": "owner_id",
    "account": "account_id",
    "salutation": "salutation",
    "first_name": "first_name",
    "last_name": "last_name",
    "full_name": "full_name",
    "title": "title",
    "department": "department",
    "email": "email",
    "phone": "phone",
    "mobile": "mobile",
    "lead_source": "lead_source",
    "lifecycle_stage": "lifecycle_stage",
    "birth_date": "birth_date",
    "preferred_language": "preferred_language",
    "do_not_call": "do_not_call",
    "mailing_street": "mailing_street",
    "mailing_city": "mailing_city",
    "mailing_state": "mailing_state",
    "mailing_postal_code": "mailing_postal_code",
    "mailing_country": "mailing_country",
    "description": "description",
    "tags": "tags",
    "version": "version",
    "created_at": "created_at",
    "updated_at": "updated_at",
}

# A table like the contacts', with its indexes, without isolation, change log and references: the rivals' own.
RIVAL_TABLE = "rival_contact"

COLUMNS = (
    "id, company_id, created_at, updated_at, created_by_id, updated_by_id, version, owner_id, account_id, tags, "
    "external_source, external_id, custom_fields, salutation, first_name, last_name, title, department, email, phone, "
    "mobile, lead_source, lifecycle_stage, birth_date, preferred_language, preferred_channel, do_not_call, "
    "email_opt_out, mailing_street, mailing_city, mailing_state, mailing_postal_code, mailing_country, description"
)


def _people(count: int) -> str:
    """Invented contacts as a query over %(company)s and %(user)s, in the order of `COLUMNS`."""
    at = f"timestamptz '2024-01-01' + g * (interval '700 days' / {count})"
    return f"""
    SELECT uuidv7(), %(company)s::uuid, {at}, {at} + interval '3 days', %(user)s::uuid, %(user)s::uuid, 1,
      %(user)s::uuid, a.id, ARRAY['t' || g %% 30, 's' || g %% 7], 'old crm', 'c' || g,
      jsonb_build_object('budget', g * 37 %% 100000, 'tier', 'T' || g %% 50, 'region_code', 'R' || g %% 1000),
      (ARRAY['Ms', 'Mr', 'Dr', ''])[1 + g %% 4],
      (ARRAY['James','Mary','Robert','Linda','Anna','Luis','Chen','Fatima','Omar','Olga','Claire','Yuki'])[1 + g %% 12],
      (ARRAY['Smith','Garcia','Miller','Rossi','Tanaka','Kim','Nguyen','Singh','Dubois'])[1 + g %% 9] || '-' || g %% 997,
      (ARRAY['CEO','CTO','VP Sales','Engineer','Buyer','Analyst'])[1 + g %% 6],
      (ARRAY['Sales','IT','Operations','People'])[1 + g %% 4],
      CASE WHEN g %% 10 < 9 THEN 'user' || g || '@corp' || g %% 5000 || '.example.com' ELSE '' END,
      '+1' || 2000000000 + (g::bigint * 7919) %% 7999999999,
      CASE WHEN g %% 4 = 0 THEN '+1' || 3000000000 + g ELSE '' END,
      (ARRAY['web','referral','event','',''])[1 + g %% 5], (ARRAY['lead','customer',''])[1 + g %% 3],
      CASE WHEN g %% 3 = 0 THEN date '1960-01-01' + g %% 15000 END, (ARRAY['en','de','fr',''])[1 + g %% 4], '',
      g %% 20 = 0, g %% 15 = 0, g %% 9999 || ' Main Street',
      (ARRAY['Berlin','Paris','Austin','Tokyo','Madrid','Oslo','Lyon','Pune'])[1 + g %% 8],
      (ARRAY['CA','TX','NY','WA','BY','IDF'])[1 + g %% 6], lpad((g %% 99999)::text, 5, '0'),
      (ARRAY['US','DE','FR','JP','ES','IN'])[1 + g %% 6],
      CASE WHEN g %% 2 = 0
        THEN 'Met at the fair, wants a quote for product line ' || g %% 300 || '; call back in spring about the renewal'
        ELSE '' END
    FROM generate_series(1, {count}) g
    LEFT JOIN LATERAL (SELECT %(accounts)s::uuid[] AS ids) k ON true
    LEFT JOIN LATERAL (SELECT k.ids[1 + g %% cardinality(k.ids)] AS id) a ON true"""


@dataclass(frozen=True)
class House:
    """One company of the world."""

    company_id: UUID
    user_id: UUID
    slug: str

    def actor(self) -> Actor:
        return queries.list_actors_of_user(self.user_id)[self.slug]

    def token(self) -> str:
        """A fresh access token; it lives for ten minutes."""
        with system_context("opening a session for a benchmark"), unit_of_work():
            user = User.objects.get(pk=self.user_id)
        return open_session(user, now=timezone.now(), company_slug=self.slug).access


@contextmanager
def owner(autocommit: bool = True) -> Iterator[psycopg.Connection]:
    """A connection as the owner of the tables, whom row-level security does not bind."""
    with psycopg.connect(conninfo(), autocommit=autocommit) as connection:
        yield connection


def conninfo() -> str:
    database = settings.DATABASES["default"]
    return psycopg.conninfo.make_conninfo(
        dbname=database["NAME"],
        user=settings.DATABASE_OWNER.get("USER") or database["USER"],
        host=database["HOST"],
        port=database.get("PORT") or None,
    )


def house(slug: str) -> House:
    """The company of this name, founded when it is missing."""
    with system_context("looking for a benchmark's company"), unit_of_work():
        company = Company.objects.filter(slug=slug).first()
        if company is not None:
            user = User.objects.get(email=f"admin@{slug}.test")
            return House(company.pk, user.pk, slug)
    with unit_of_work():
        founded = create_company(
            name=slug.capitalize(),
            slug=slug,
            admin_email=f"admin@{slug}.test",
            admin_password=PASSWORD,
            first_name="Ada",
            last_name="Bench",
            now=timezone.now(),
        )
    return House(founded.company.pk, founded.admin.pk, slug)


def prepare() -> None:
    """Tables as they are today, and the book of 100,000 contacts beside another company's."""
    call_command("migrate", verbosity=0)
    fill(house("book"), BOOK)
    fill(house("neighbor"), BOOK // 5)
    house("writes")
    with owner() as connection:
        # The rivals' table has the same rows: a longer one, or one whose pages are cold, would not be a comparison.
        connection.execute(f"CREATE TABLE IF NOT EXISTS {RIVAL_TABLE} (LIKE crm_contact INCLUDING ALL)")
        [ours, theirs] = connection.execute(
            f"SELECT count(*) FROM crm_contact UNION ALL SELECT count(*) FROM {RIVAL_TABLE}"
        ).fetchall()
        if ours == theirs:
            return
        connection.execute(f"TRUNCATE {RIVAL_TABLE}")
        connection.execute(f"INSERT INTO {RIVAL_TABLE} ({COLUMNS}) SELECT {COLUMNS} FROM crm_contact")
        connection.execute(f"VACUUM ANALYZE {RIVAL_TABLE}")


def fill(home: House, count: int) -> None:
    """Bring the company's contacts to `count`; a company that has some is left alone."""
    with owner() as connection:
        has = connection.execute(
            "SELECT EXISTS (SELECT FROM crm_contact WHERE company_id = %s)", [home.company_id]
        ).fetchone()
        if has == (True,):
            return
        with connection.transaction():
            # Written like this only here: rows that nobody made need no history and no checks.
            connection.execute("SET LOCAL session_replication_role = replica")
            accounts = connection.execute(
                "INSERT INTO crm_account (id, company_id, name, owner_id) SELECT uuidv7(), %s, 'Company ' || g, %s "
                f"FROM generate_series(1, {max(count // 100, 1)}) g RETURNING id",
                [home.company_id, home.user_id],
            ).fetchall()
            connection.execute(
                f"INSERT INTO crm_contact ({COLUMNS}) {_people(count)}",
                {"company": home.company_id, "user": home.user_id, "accounts": [row[0] for row in accounts]},
            )
        connection.execute("VACUUM ANALYZE crm_account")
        connection.execute("VACUUM ANALYZE crm_contact")


def empty(home: House) -> None:
    """Forget the contacts of a company that is written to."""
    with owner() as connection, connection.transaction():
        connection.execute("SET LOCAL session_replication_role = replica")
        for table in ("crm_contact", RIVAL_TABLE):
            connection.execute(f"DELETE FROM {table} WHERE company_id = %s", [home.company_id])
