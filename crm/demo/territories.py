"""The demo company's territories: a tree by countries, with rules that say the same as the records already do."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from core.changes import Rows
from core.identity.models import Membership
from core.tenancy.actors import Actor
from territories.models import Territory, TerritoryMember, TerritoryRule
from territories.operations import MEMBERS, create_rules, create_territories

# Name, code, the parent's code, countries. Parents come before their children.
TREE: tuple[tuple[str, str, str, tuple[str, ...]], ...] = (
    ("Global", "GLOBAL", "", ()),
    ("Europe", "EUROPE", "GLOBAL", ()),
    ("Central Europe", "CENTRAL", "EUROPE", ("DE", "AT", "CH", "PL", "CZ")),
    ("France and Benelux", "FRBX", "EUROPE", ("FR", "NL", "BE", "LU")),
    ("Southern Europe", "SOUTH", "EUROPE", ("ES", "PT", "IT", "GR")),
    ("Nordics", "NORDICS", "EUROPE", ("DK", "SE", "NO", "FI")),
    ("United Kingdom and Ireland", "UKI", "EUROPE", ("GB", "IE")),
    ("North America", "NORTH_AMERICA", "GLOBAL", ("US", "CA")),
)
# The country that decides about each kind of record.
_COUNTRY = {
    "account": "billing_country",
    "contact": "mailing_country",
    "lead": "country",
    "deal": "account.billing_country",
}


def territory_of(country: str) -> str:
    """SQL: the id of the territory that a country belongs to; null for one that has none."""
    codes = " ".join(
        f"WHEN '{country_code}' THEN '{code}'" for _, code, _, countries in TREE for country_code in countries
    )
    return (
        "(SELECT t.id FROM territories_territory t WHERE t.company_id = here.company "
        f"AND t.code = CASE {country} {codes} END)"
    )


def add_territories(admin: Actor, now: datetime) -> None:
    """The tree, its rules, and who prepares its leads. Needs a transaction in the company."""
    ids: dict[str, UUID] = {}
    for name, code, parent, _ in TREE:
        row = {
            "name": name,
            "code": code,
            "parent_territory": ids.get(parent),
            "share_with_parent": bool(parent),
        }
        made = create_territories(actor=admin, rows=Rows.of(Territory, [row]), now=now)
        ids[code] = made.one
    rules = [
        {
            "territory": ids[code],
            "name": f"{kind.capitalize()}s of {name}",
            "entity_type": kind,
            "condition": {"field": field, "operator": "in", "value": list(countries)},
        }
        for name, code, _, countries in TREE
        if countries
        for kind, field in _COUNTRY.items()
    ]
    create_rules(actor=admin, rows=Rows.of(TerritoryRule, rules), now=now).raise_if_refused()
    # They see every record as it is, so nobody sees more for it.
    everywhere = Membership.objects.filter(role__record_scope="all").exclude(user_id=admin.user_id)
    members = [
        {"territory": ids["GLOBAL"], "user": user_id, "role": "viewer"}
        for user_id in everywhere.order_by("pk").values_list("user_id", flat=True)
    ]
    MEMBERS.create(actor=admin, rows=Rows.of(TerritoryMember, members), now=now).raise_if_refused()
