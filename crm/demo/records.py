"""The demo's new records as relations for the CRM's operations. Each takes the parameters of `HERE`."""

from __future__ import annotations

from dataclasses import dataclass

from crm.demo import words
from crm.demo.chance import HERE, ID, array, draw, item, latest, one_of
from crm.demo.territories import territory_of

_NAMES = len(words.COMPANY_ROOTS) * len(words.COMPANY_NOUNS)
_SOURCES = (*["web"] * 4, *["referral"] * 3, *["event"] * 2, "campaign", "partner", "email", "call", "social")


@dataclass(frozen=True)
class Relation:
    """SQL that selects `ord`, `id` and `columns`."""

    sql: str
    columns: tuple[str, ...]


def _relation(
    columns: dict[str, str],
    source: str,
    *,
    mine: dict[str, str] | None = None,
    ord_: str = "(k - here.first)::int",
) -> Relation:
    """`mine` are arrays of what there is already, read once as `mine.<name>`."""
    listed = ", ".join(f'{sql} AS "{name}"' for name, sql in columns.items())
    arrays = ", ".join(f"{sql} AS {name}" for name, sql in (mine or {"nothing": "NULL"}).items())
    return Relation(
        f"WITH {HERE}, mine AS MATERIALIZED (SELECT {arrays} FROM here) "
        f"SELECT {ord_} AS ord, {ID} AS id, {listed} FROM here CROSS JOIN mine {source}",
        tuple(columns),
    )


def _once(alias: str, /, **columns: str) -> str:
    """Values of a row that others build on. Without the offset the planner would repeat them wherever they are used."""
    listed = ", ".join(f"{sql} AS {column}" for column, sql in columns.items())
    return f"CROSS JOIN LATERAL (SELECT {listed} OFFSET 0) {alias}"


_EACH = "CROSS JOIN generate_series(here.first, here.last) k"


def _city(key: str) -> str:
    """A lateral with the facts of a city."""
    names = ("city", "state", "country", "postal", "postal_rest", "phone", "phone_rest", "form", "street")
    facts = {
        name: f"{array([city[column] for city in words.CITIES])}[c.n]" for column, name in enumerate(names)
    }
    place = draw(len(words.CITIES), "city", key)
    return f"{_once('c', n=f'1 + {place}')} {_once('city', **facts)}"


def _digits(count: str, about: str, key: str) -> str:
    return f"right('0000000' || {draw(10_000_000, about, key)}, {count}::int)"


def _phone(about: str, key: str = "k::text") -> str:
    return f"city.phone || {_digits('city.phone_rest', about, key)}"


def _postal(key: str = "k::text") -> str:
    return f"city.postal || {_digits('city.postal_rest', 'postal code', key)}"


def _street(key: str = "k::text") -> str:
    return f"replace(city.street, '#', (1 + {draw(180, 'house number', key)})::text)"


def _company(number: str) -> str:
    """A lateral with a company's name and web domain; the first few thousand numbers have names of their own."""
    spread = f"mod(({number})::bigint * 4507 + 11, {_NAMES})::int"
    root = f"{array(words.COMPANY_ROOTS)}[1 + w.i / {len(words.COMPANY_NOUNS)}]"
    noun = f"{array(words.COMPANY_NOUNS)}[1 + mod(w.i, {len(words.COMPANY_NOUNS)})]"
    again = f"CASE WHEN ({number}) >= {_NAMES} THEN (1 + ({number}) / {_NAMES})::text ELSE '' END"
    name = f"{root} || ' ' || {noun} || CASE WHEN w.again = '' THEN '' ELSE ' ' || w.again END"
    domain = f"lower({root} || {noun}) || w.again || '.example'"
    return f"{_once('w', i=spread, again=again)} {_once('named', name=name, domain=domain)}"


def _person(key: str) -> str:
    """A lateral with a person's names."""
    return _once(
        "person",
        first=one_of(words.FIRST_NAMES, "first name", key),
        last=one_of(words.LAST_NAMES, "last name", key),
    )


_EMPLOYEES = f"round(5 * exp({draw(1000, 'size')} / 140.0))::int"
_TAG = array([*words.TAGS, *[""] * (3 * len(words.TAGS))])


def _tags(about: str, key: str = "k::text") -> str:
    """Mostly none, sometimes one or two."""
    first = f"{_TAG}[1 + {draw(4 * len(words.TAGS), about, key)}]"
    second = f"{_TAG}[1 + {draw(4 * len(words.TAGS), about + ' too', key)}]"
    return (
        f"(SELECT coalesce(array_agg(DISTINCT t), '{{}}') FROM unnest(ARRAY[{first}, {second}]) t WHERE t <> '')"
        "::varchar[]"
    )


ACCOUNTS = _relation(
    {
        "owner_id": "here.me",
        "name": "named.name || ' ' || city.form",
        "account_number": "'A-' || right('000000' || k, greatest(6, length(k::text)))",
        "type": one_of((*["customer"] * 6, *["prospect"] * 6, "partner", "reseller", "vendor"), "type"),
        "status": one_of((*["active"] * 9, "inactive"), "status"),
        "industry": one_of(words.INDUSTRIES, "industry"),
        "rating": one_of(("hot", "warm", "warm", "cool", "cold", ""), "rating"),
        "website": "'https://www.' || named.domain",
        "email": "'info@' || named.domain",
        "phone": _phone("phone"),
        "parent_id": f"CASE WHEN {draw(20, 'parent')} = 0 THEN {item('mine.accounts', 'which parent')} END",
        "annual_revenue": f"({_EMPLOYEES}::numeric * (60 + {draw(240, 'revenue')}) * 1000)::numeric(18, 2)",
        "number_of_employees": _EMPLOYEES,
        "ownership": one_of((*["private"] * 6, "public", "subsidiary", "government"), "ownership"),
        "source": one_of(_SOURCES, "source"),
        "billing_street": _street(),
        "billing_city": "city.city",
        "billing_state": "city.state",
        "billing_postal_code": _postal(),
        "billing_country": "city.country",
        "territory_id": territory_of("city.country"),
        "territory_pinned": "false",
        "tags": _tags("tags"),
    },
    f"{_EACH} {_city('k::text')} {_company('k')}",
    mine={"accounts": latest("crm_account", 300, "t.parent_id IS NULL")},
)

CONTACTS = _relation(
    {
        "owner_id": "here.me",
        "account_id": "a.id",
        "salutation": one_of(("Ms", "Mr", "Dr", "", "", ""), "salutation"),
        "first_name": "person.first",
        "last_name": "person.last",
        "title": one_of(words.TITLES, "title"),
        "department": one_of(words.DEPARTMENTS, "department"),
        "email": f"lower(person.first || '.' || person.last) || CASE WHEN {draw(3, 'number')} = 0 THEN k::text "
        "ELSE '' END || '@' || coalesce(nullif(a.website_domain, ''), 'mail.example')",
        # Direct lines of the account's number.
        "phone": f"coalesce(left(nullif(a.phone, ''), -3) || {_digits('3', 'phone', 'k::text')}, {_phone('phone')})",
        "lead_source": one_of(_SOURCES, "source"),
        "lifecycle_stage": one_of(
            ("opportunity", "customer", "customer", "qualified", "lead", "other"), "stage"
        ),
        "birth_date": f"CASE WHEN {draw(3, 'has birthday')} = 0 THEN date '1962-01-01' + {draw(14_000, 'birthday')} END",
        "preferred_language": one_of(("en", "en", "de", "fr", "es", ""), "language"),
        "preferred_channel": one_of(("email", "email", "phone", ""), "channel"),
        "do_not_call": f"{draw(25, 'do not call')} = 0",
        "email_opt_out": f"{draw(20, 'opt out')} = 0",
        "mailing_street": f"coalesce(nullif(a.billing_street, ''), {_street()})",
        "mailing_city": "coalesce(nullif(a.billing_city, ''), city.city)",
        "mailing_state": "coalesce(a.billing_state, city.state)",
        "mailing_postal_code": f"coalesce(nullif(a.billing_postal_code, ''), {_postal()})",
        "mailing_country": "coalesce(nullif(a.billing_country, ''), city.country)",
        "territory_id": territory_of("coalesce(nullif(a.billing_country, ''), city.country)"),
        "territory_pinned": "false",
        "tags": _tags("contact tags"),
    },
    f"{_EACH} {_city('k::text')} {_person('k::text')} {_once('chosen', id=item('mine.accounts', 'account'))} "
    "LEFT JOIN crm_account a ON a.company_id = here.company AND a.id = chosen.id",
    mine={"accounts": latest("crm_account", 300)},
)

# Every 97th lead is the one before it once more, written differently: something for duplicate detection to find.
_LEAD = "(CASE WHEN mod(k, 97) = 0 THEN k - 1 ELSE k END)"
_LEAD_KEY = f"('lead ' || {_LEAD})"
LEADS = _relation(
    {
        "owner_id": "here.me",
        "salutation": one_of(("Ms", "Mr", "", ""), "salutation", _LEAD_KEY),
        "first_name": "CASE WHEN mod(k, 97) = 0 THEN upper(person.first) ELSE person.first END",
        "last_name": "person.last",
        # Beyond the numbers of accounts, so that leads are of other companies.
        "company_name": "named.name",
        "title": one_of(words.TITLES, "title", _LEAD_KEY),
        "email": f"CASE WHEN {draw(12, 'has mail', _LEAD_KEY)} = 0 THEN '' "
        "ELSE lower(person.first || '.' || person.last) || '@' || named.domain END",
        "phone": f"CASE WHEN {draw(5, 'has phone', _LEAD_KEY)} = 0 THEN '' ELSE {_phone('phone', _LEAD_KEY)} END",
        "website": "'https://' || named.domain",
        "street": _street(_LEAD_KEY),
        "city": "city.city",
        "state": "city.state",
        "postal_code": _postal(_LEAD_KEY),
        "country": "city.country",
        "territory_id": territory_of("city.country"),
        "territory_pinned": "false",
        "source": one_of(_SOURCES, "source"),
        "source_detail": one_of(
            ("Contact form", "Webinar", "Trade fair", "Newsletter", "", "", ""), "detail"
        ),
        "rating": one_of(("hot", "warm", "warm", "cold", ""), "rating"),
        "industry": one_of(words.INDUSTRIES, "industry"),
        "number_of_employees": _EMPLOYEES,
        "estimated_value": f"(round(1500 * exp({draw(1000, 'value')} / 250.0) / 100) * 100)::numeric(18, 2)",
        "budget_known": f"{draw(3, 'budget')} = 0",
        "authority_known": f"{draw(2, 'authority')} = 0",
        "need": one_of((*words.NEEDS, "", "", ""), "need"),
        "timeline": one_of(
            ("immediate", "this_quarter", "next_quarter", "next_quarter", "this_year", "later", "unknown"),
            "timeline",
        ),
        "do_not_call": f"{draw(30, 'do not call')} = 0",
        "email_opt_out": f"{draw(25, 'opt out')} = 0",
        "tags": _tags("lead tags"),
    },
    f"{_EACH} {_city(_LEAD_KEY)} {_person(_LEAD_KEY)} {_company(f'({_LEAD} + {_NAMES // 2})')}",
)

_AMOUNT = f"(round(1800 * exp({draw(1000, 'amount')} / 240.0) / 100) * 100)::numeric(18, 2)"
DEALS = _relation(
    {
        "owner_id": "here.me",
        "name": f"left(coalesce(a.name, contact.full_name, 'New deal'), 200) || ' - ' || {one_of(words.OFFERS, 'offer')}",
        "account_id": "a.id",
        "primary_contact_id": "contact.id",
        "territory_id": "a.territory_id",
        "territory_pinned": "false",
        "amount": _AMOUNT,
        "close_date": f"(here.at + make_interval(days => 45 + {draw(120, 'close')}))::date",
        "deal_type": one_of(
            (*["new_business"] * 5, *["existing_business"] * 3, "renewal", "renewal", "upsell", "cross_sell"),
            "deal type",
        ),
        "source": one_of(_SOURCES, "source"),
        "next_step": one_of(words.NEXT_STEPS, "next step"),
        "next_step_date": f"(here.at + make_interval(days => 2 + {draw(20, 'next step on')}))::date",
        "competitor": one_of((*words.COMPETITORS, *[""] * 8), "competitor"),
        "tags": _tags("deal tags"),
    },
    f"{_EACH} {_once('chosen', id=item('mine.contacts', 'contact'))} "
    "LEFT JOIN crm_contact contact ON contact.company_id = here.company AND contact.id = chosen.id "
    "LEFT JOIN crm_account a ON a.company_id = here.company AND a.id = contact.account_id",
    mine={"contacts": latest("crm_contact", 300, "t.account_id IS NOT NULL")},
)

# One to three lines for every third deal made at this very moment; converted leads have none yet.
_LINE_KEY = "d.name || line"
DEAL_PRODUCTS = _relation(
    {
        "deal_id": "d.id",
        "product_id": item("mine.products", "product", _LINE_KEY),
        "quantity": f"(1 + {draw(24, 'quantity', _LINE_KEY)})::numeric",
        "discount_value": f"({array((0, 0, 0, 5, 10, 15))}[1 + {draw(6, 'discount', _LINE_KEY)}])::numeric",
        "order": "line::int",
    },
    "JOIN crm_deal d ON d.company_id = here.company AND d.owner_id = here.me AND d.created_at = here.at "
    f"AND d.deleted_at IS NULL AND d.lead_id IS NULL AND {draw(3, 'has lines', 'd.name')} = 0 "
    f"CROSS JOIN LATERAL generate_series(1, 1 + {draw(3, 'lines', 'd.name')}) line",
    mine={
        "products": "(SELECT array_agg(p.id ORDER BY p.sku) FROM crm_product p "
        "WHERE p.company_id = here.company AND p.deleted_at IS NULL AND p.sku <> '')"
    },
    ord_="(row_number() OVER (ORDER BY d.id, line) - 1)::int",
)

# What activities, tasks and notes are about: mostly deals, also leads and contacts.
_MINE = {
    "deals": latest("crm_deal", 120),
    "leads": latest("crm_lead", 120),
    "contacts": latest("crm_contact", 200),
}
_PICK = _once(
    "pick",
    what=draw(10, "about what"),
    deal=item("mine.deals", "deal"),
    lead=item("mine.leads", "lead"),
    contact=item("mine.contacts", "contact"),
)
_ABOUT = (
    f"{_PICK} LEFT JOIN crm_deal deal ON deal.company_id = here.company AND pick.what < 5 AND deal.id = pick.deal "
    "LEFT JOIN crm_lead lead ON lead.company_id = here.company AND lead.id = pick.lead "
    "AND (pick.what BETWEEN 5 AND 7 OR pick.what < 5 AND deal.id IS NULL) "
    "LEFT JOIN crm_contact contact ON contact.company_id = here.company "
    "AND contact.id = CASE WHEN pick.what < 5 THEN deal.primary_contact_id WHEN pick.what > 7 THEN pick.contact END"
)
_ABOUT_COLUMNS = {
    "owner_id": "here.me",
    "account_id": "coalesce(deal.account_id, contact.account_id)",
    "contact_id": "contact.id",
    "lead_id": "lead.id",
    "deal_id": "deal.id",
}
# Only at the end of the history something is still planned.
_AHEAD = f"here.at > here.until - interval '15 days' AND {draw(4, 'planned')} = 0"
_KINDS = (*["call"] * 8, *["email"] * 7, *["meeting"] * 3, "demo", "visit")
# In working hours of the days since the last time; what is planned lies in the two weeks ahead.
_DAY = (
    f"CASE WHEN shape.ahead THEN here.at + make_interval(days => 1 + {draw(14, 'day ahead')}) "
    f"ELSE here.at - (here.at - here.since) * ({draw(1000, 'when')} / 1000.0) END"
)
_START = (
    f"date_trunc('day', {_DAY}, 'UTC') + make_interval(hours => 8 + {draw(9, 'hour')}, "
    f"mins => 15 * {draw(4, 'quarter')})"
)
_MINUTES = (
    f"CASE shape.type WHEN 'call' THEN 5 + {draw(25, 'minutes')} WHEN 'email' THEN NULL "
    f"ELSE 30 * (1 + {draw(4, 'minutes')}) END"
)
_PLANNED = "(shape.ahead OR plan.start > here.at)"
ACTIVITIES = _relation(
    {
        **_ABOUT_COLUMNS,
        "type": "shape.type",
        "subject": f"CASE shape.type WHEN 'call' THEN {one_of(words.CALLS, 'subject')} "
        f"WHEN 'email' THEN {one_of(words.MAILS, 'subject')} WHEN 'demo' THEN {one_of(words.DEMOS, 'subject')} "
        f"ELSE {one_of(words.MEETINGS, 'subject')} END",
        "status": f"CASE WHEN {_PLANNED} THEN 'planned' "
        f"ELSE {one_of((*['held'] * 17, *['not_held'] * 2, 'canceled'), 'status')} END",
        "direction": one_of(("outbound", "outbound", "outbound", "inbound"), "direction"),
        "start_at": "plan.start",
        "duration_minutes": _MINUTES,
        "outcome": f"CASE WHEN shape.type = 'call' AND NOT {_PLANNED} THEN "
        + one_of(("connected", "connected", "interested", "left_message", "no_answer", "busy"), "outcome")
        + " ELSE '' END",
    },
    f"{_EACH} {_ABOUT} {_once('shape', type=one_of(_KINDS, 'kind'), ahead=_AHEAD)} {_once('plan', start=_START)}",
    mine=_MINE,
)

TASKS = _relation(
    {
        **_ABOUT_COLUMNS,
        "subject": one_of(words.TASKS, "task"),
        "type": one_of(("todo", "todo", "call", "email", "follow_up"), "type"),
        "status": one_of(("not_started", "not_started", "in_progress", "waiting"), "status"),
        "priority": one_of(("normal", "normal", "normal", "low", "high", "urgent"), "priority"),
        "due_date": f"(here.at + make_interval(days => 2 + {draw(25, 'due')}))::date",
    },
    f"{_EACH} {_ABOUT}",
    mine=_MINE,
)

NOTES = _relation(
    {
        **_ABOUT_COLUMNS,
        "title": one_of(("", "", "After the call", "Background", "Decision makers"), "title"),
        "body": one_of(words.NOTES, "body"),
        "is_pinned": f"{draw(12, 'pinned')} = 0",
    },
    # In the first days there may be nothing yet to write about.
    f"{_EACH} {_ABOUT} WHERE num_nonnulls(deal.id, lead.id, contact.id) > 0",
    mine=_MINE,
)
