"""Founding companies and changing their settings."""

from __future__ import annotations

import re
import unicodedata
import zoneinfo
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from babel import Locale, UnknownLocaleError
from django.db import IntegrityError
from django.db.models import F

from core.changes import Rows, WriteSpec, insert
from core.changes.facts import record_fact
from core.entities.codes import CURRENCY_CODES
from core.entities.kinds import BadValue
from core.identity.models import Company, Membership, Registration, Role, User
from core.identity.operations import throttle
from core.identity.operations.guards import require_manager
from core.identity.operations.invitations import Joined, invite_admin
from core.identity.operations.passwords import hash_new_password, read_email
from core.identity.operations.proof import (
    REGISTRATION_LIFETIME,
    Link,
    chooses_password,
    claim_account,
    digest_of,
    find_account,
    link_ended,
    prove,
    send_links,
)
from core.identity.rights import BUILTIN_ROLES
from core.kernel.errors import Fault, Invalid, Stale, as_object
from core.kernel.registry import Registry
from core.kernel.transactions import needs_transaction, retried, unit_of_work
from core.tenancy import context
from core.tenancy.actors import Actor, system_actor
from core.tenancy.context import company_context, system_context

# What a new company starts with beyond its roles (a pipeline, templates): apps add theirs in `extensions.py`. Each is
# called with the system's actor and the time, in the company's context and in the transaction that founds it.
COMPANY_STARTERS: Registry[Callable[[Actor, datetime], None]] = Registry("company starter")

_SLUG = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_ROLES = WriteSpec(Role)
_MEMBERS = WriteSpec(Membership)
MAX_NAME = 255


@dataclass(frozen=True, slots=True)
class FoundedCompany:
    company: Company
    admin: User
    # False when the person was known already: they are invited, and admin as soon as they accept.
    admin_is_new: bool


def create_company(
    *,
    name: str,
    slug: str,
    admin_email: str,
    admin_password: str | None = None,
    first_name: str = "",
    last_name: str = "",
    now: datetime,
) -> FoundedCompany:
    """A company with its built-in roles and its first admin, as the operator of the installation asks for it.

    A known person is invited and keeps name and password; a new one without a password resets it. Needs a transaction.
    Raises: Invalid.
    """
    needs_transaction()
    with system_context("founding a company", source=context.current().source):
        company = _new_company(name, slug, now)
        user, is_new = _person(
            read_email(admin_email, "admin_email"), admin_password, first_name, last_name, now
        )
    _found(company, user.pk if is_new else None, user.email, now)
    return FoundedCompany(company, user, is_new)


def _found(company: Company, admin_id: UUID | None, admin_email: str, now: datetime) -> None:
    """What every company starts with; without an `admin_id` the address is invited."""
    actor = system_actor(company.pk)
    with company_context(company.pk, actor=actor, source=context.current().source):
        roles = [
            {
                "name": role.name,
                "permissions": list(role.permissions),
                "record_scope": role.record_scope,
                "is_builtin": True,
            }
            for role in BUILTIN_ROLES
        ]
        made = insert(_ROLES, Rows.of(Role, roles), actor=actor, now=now)
        made.raise_if_refused()
        if admin_id is None:
            invite_admin(actor, email=admin_email, role_id=made.ids[0], now=now)
        else:
            member = {"user": admin_id, "role": made.ids[0], "is_active": True}
            insert(_MEMBERS, Rows.of(Membership, [member]), actor=actor, now=now).raise_if_refused()
        for starter in COMPANY_STARTERS:
            starter(actor, now)


def _new_company(name: str, slug: str, now: datetime) -> Company:
    if faults := _founding_faults(name, slug):
        raise Invalid(faults=faults)
    try:
        return Company.objects.create(name=name.strip(), slug=slug, created_at=now, updated_at=now)
    except IntegrityError:
        # Another one took it since.
        raise Invalid(faults=[_SLUG_TAKEN]) from None


def _founding_faults(name: str, slug: str) -> list[Fault]:
    faults = _name_faults(name)
    if not _SLUG.fullmatch(slug) or len(slug) > 64:
        detail = "A slug has up to 64 lower-case letters and digits, with single hyphens inside."
        faults.append(Fault("slug", "not_a_slug", detail))
    elif Company.objects.filter(slug=slug).exists():
        faults.append(_SLUG_TAKEN)
    return faults


_SLUG_TAKEN = Fault("slug", "taken", "There is a company with this slug already.")


def _name_faults(name: str) -> list[Fault]:
    if not name.strip():
        return [Fault("name", "required", "A company has a name.")]
    if len(name) > MAX_NAME:
        return [Fault("name", "too_long", f"At most {MAX_NAME} characters are allowed.")]
    if any(unicodedata.category(letter) in ("Cc", "Cs") for letter in name):
        return [Fault("name", "invalid_characters", "A name holds no control characters.")]
    return []


def _person(
    email: str, password: str | None, first_name: str, last_name: str, now: datetime
) -> tuple[User, bool]:
    known = User.objects.filter(email=email).first()
    if known is not None:
        return known, False
    user = User(email=email, first_name=first_name, last_name=last_name, created_at=now)
    if password is None:
        user.set_unusable_password()
    else:
        user.password = hash_new_password(password, user, "password")
    user.save(force_insert=True)
    return user, True


def slug_of(name: str) -> str:
    """A slug made from a name: `Müller & Söhne GmbH` → `muller-sohne-gmbh`."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:64].strip("-") or "company"


def register_company(
    *,
    company_name: str,
    email: str,
    slug: str = "",
    first_name: str = "",
    last_name: str = "",
    now: datetime,
) -> None:
    """Have a link mailed by which the reader of the address founds the company; nothing else happens until then.

    Known and unknown addresses take the same statements. Commits by itself, so that a try stays counted.
    Raises: Invalid, TooManyRequests.
    """
    throttle.claim([throttle.of_registration(context.current().origin.ip)], now)
    address = read_email(email)

    def work() -> None:
        faults = _founding_faults(company_name, slug) if slug else _name_faults(company_name)
        if faults:
            raise Invalid(faults=[_as_registered(fault) for fault in faults])
        made = Registration.objects.create(
            email=address,
            company_name=company_name.strip(),
            slug=slug,
            first_name=first_name,
            last_name=last_name,
            created_at=now,
            expires_at=now + REGISTRATION_LIFETIME,
        )
        send_links("registration", [made.pk], now)

    throttle.claim([throttle.of_registering(address)], now)
    with system_context("registering a company", source=context.current().source):
        retried(work)


def _as_registered(fault: Fault) -> Fault:
    return Fault("company_name", fault.code, fault.detail) if fault.path == "name" else fault


@dataclass(frozen=True, slots=True)
class OpenRegistration:
    """A registration as the reader of its link sees it."""

    email: str
    company_name: str
    first_name: str
    last_name: str
    # Whether they choose a password; else they sign in with the one they have.
    chooses_password: bool


def find_registration(*, token: str, now: datetime, source: str = "api") -> OpenRegistration:
    """What the link is for. Raises: Invalid (`token_invalid`)."""
    with system_context("reading a registration", source=source), unit_of_work():
        row = _open_registration(token, now)
        account = find_account(row.email) if row else None
    if row is None or (account is not None and not account.is_active):
        raise link_ended()
    chooses = chooses_password(account, is_mailed=row.is_mailed)
    return OpenRegistration(row.email, row.company_name, row.first_name, row.last_name, chooses)


def _open_registration(token: str, now: datetime, *, lock: bool = False) -> Registration | None:
    found = Registration.objects.filter(token_digest=digest_of(token), confirmed_at=None, expires_at__gt=now)
    return (found.select_for_update() if lock else found).first()


def confirm_registration(
    *,
    token: str,
    now: datetime,
    password: str = "",
    first_name: str = "",
    last_name: str = "",
    signed_in_id: UUID | None = None,
    source: str = "api",
) -> Joined:
    """Found the company of the link with whoever proved the address as its admin. Commits by itself.

    `password`, names and `signed_in_id` are as for `accept_invitation`. Raises: Invalid (`token_invalid`, the password
    rules, `taken` for a slug), NotSignedIn (`sign_in_needed`, `invalid_credentials`), TooManyRequests, Conflict.
    """
    with system_context("reading a registration", source=source), unit_of_work():
        row = _open_registration(token, now)
    if row is None:
        raise link_ended()
    link = Link(
        row.email, first_name or row.first_name, last_name or row.last_name, row.is_mailed, user_id=row.pk
    )
    proof = prove(link, password=password, signed_in_id=signed_in_id, now=now, source=source)

    def work() -> Joined:
        with system_context("founding a company", source=source):
            registration = _open_registration(token, now, lock=True)
            if registration is None:
                raise link_ended()
            user = claim_account(proof, now=now)
            name = registration.company_name
            company = _new_company(name, registration.slug or _free_slug(name), now)
            Registration.objects.filter(pk=registration.pk).update(confirmed_at=now)
        _found(company, user.pk, user.email, now)
        return Joined(user, company)

    return retried(work)


def _free_slug(name: str) -> str:
    base = slug_of(name)
    taken = set(Company.objects.filter(slug__startswith=base[:58]).values_list("slug", flat=True))
    candidates = (base, *(f"{base[:58].rstrip('-')}-{number}" for number in range(2, 10_000)))
    return next((slug for slug in candidates if slug not in taken), base)


# --- settings --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CompanySetting:
    """One key of `Company.settings`. `read` takes the JSON value and answers it checked, or raises `BadValue`."""

    read: Callable[[Any], Any]
    default: Any
    description: str


# Apps declare their settings in `extensions.py`; a key that is not declared is refused.
COMPANY_SETTINGS: Registry[CompanySetting] = Registry("company setting")


def get_company_setting(company: Company, name: str) -> Any:
    """The company's value of a declared setting, or its default."""
    return company.settings.get(name, COMPANY_SETTINGS[name].default)


def update_company(
    actor: Actor, *, changes: Mapping[str, Any], now: datetime, expected_version: int | None = None
) -> Company:
    """Change the company of the actor. Keys of `settings` are merged; null brings a default back. Needs a transaction.

    Raises: Forbidden, Invalid, Stale.
    """
    needs_transaction()
    require_manager(actor)
    company = Company.objects.select_for_update(no_key=True).get(pk=actor.company_id)
    wanted = {**changes}
    if "settings" in wanted:
        wanted["settings"] = _merged_settings(company.settings, wanted["settings"])
    faults = [fault for name, value in wanted.items() for fault in _company_faults(name, value)]
    if faults:
        raise Invalid(faults=faults)
    if expected_version is not None and expected_version != company.version:
        raise Stale()
    changed = {name: value for name, value in wanted.items() if getattr(company, name) != value}
    if changed:
        before = {name: getattr(company, name) for name in changed}
        Company.objects.filter(pk=company.pk).update(
            **changed, version=F("version") + 1, rights_version=F("rights_version") + 1, updated_at=now
        )
        record_fact(
            action="update",
            entity_type="company",
            entity_id=company.pk,
            entity_name=company.name,
            details={"old": before, "new": changed},
        )
        company.refresh_from_db()
    return company


def _merged_settings(stored: Mapping[str, Any], sent: Any) -> dict[str, Any]:
    merged, faults = dict(stored), []
    for name, value in as_object(sent, "settings").items():
        setting = COMPANY_SETTINGS.find(name)
        if setting is None:
            faults.append(Fault(f"settings.{name}", "unknown_field", "There is no such setting."))
        elif value is None:
            merged.pop(name, None)
        else:
            try:
                merged[name] = setting.read(value)
            except BadValue as bad:
                faults.append(Fault(f"settings.{name}", bad.code, bad.detail))
    if faults:
        raise Invalid(faults=faults)
    return merged


def _company_faults(name: str, value: Any) -> list[Fault]:
    match name:
        case "settings":
            return []
        case "name":
            return _name_faults(value) if isinstance(value, str) else [_not_text(name)]
        case "fiscal_year_start_month":
            if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 12:
                return [Fault(name, "not_a_month", "A month is a number from 1 to 12.")]
        case "timezone":
            if not isinstance(value, str) or value not in zoneinfo.available_timezones():
                return [Fault(name, "not_a_timezone", "A time zone such as Europe/Berlin is expected.")]
        case "default_currency":
            if not isinstance(value, str) or value not in CURRENCY_CODES:
                return [
                    Fault(name, "not_a_currency", "A currency code (ISO 4217), such as EUR, is expected.")
                ]
        case "locale":
            if not _is_locale(value):
                return [Fault(name, "not_a_locale", "A locale such as en-US is expected.")]
        case _:
            return [Fault(name, "unknown_field", "There is no such field.")]
    return []


def _not_text(name: str) -> Fault:
    return Fault(name, "not_text", "A text is expected.")


def _is_locale(value: Any) -> bool:
    if not isinstance(value, str) or len(value) > 16:
        return False
    try:
        Locale.parse(value, sep="-")
    except (ValueError, UnknownLocaleError):
        return False
    return True
