"""Transforms of e-mail addresses, phone numbers, web addresses and names of people."""

from __future__ import annotations

import re
import unicodedata
from typing import Annotated, Any, ClassVar, Literal
from urllib.parse import SplitResult, urlsplit, urlunsplit

import phonenumbers
from email_validator import EmailNotValidError, validate_email
from pydantic import Field

from data_import.engine.formats import WHITESPACE
from data_import.engine.transforms import sql
from data_import.engine.transforms.base import Text, Transform, TransformError, shown, simple_lower

_ATOM = r"[a-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LABEL = "[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_PLAIN_ADDRESS = re.compile(rf"{_ATOM}(?:\.{_ATOM})*@(?:{_LABEL}\.)+[a-z][a-z0-9-]{{0,61}}[a-z0-9]")
# The usual part of that, without counted repeats (15 times slower in PostgreSQL): 64 characters in all
# keep every part within its limit.
_USUAL_ADDRESS = "^[a-z0-9_+'-]+(?:[.][a-z0-9_+'-]+)*@(?:[a-z0-9]+(?:-+[a-z0-9]+)*[.])+[a-z][a-z]+$"
_NAMED_ADDRESS = re.compile(r"[^<>]*<\s*([^<>]+?)\s*>")


class NormalizeEmail(Transform):
    name = "normalize_email"
    summary = "Takes an address out of `Name <address>` or `mailto:`, lowers its case and checks its form."

    partial: ClassVar[bool] = True

    def apply(self, *values: Text) -> Text:
        value = (values[0] or "").strip(WHITESPACE)
        if not value:
            return None
        address = simple_lower(value)
        if address.startswith("mailto:"):
            address = address[7:].partition("?")[0].strip(WHITESPACE)
        if address.endswith(">") and len(address) <= 1_000 and (named := _NAMED_ADDRESS.fullmatch(address)):
            address = named[1]
        if len(address) <= 254 and address.find("@") <= 64 and _PLAIN_ADDRESS.fullmatch(address):
            return address
        try:
            # International addresses; the test environment flag keeps .test and .example usable.
            return simple_lower(
                validate_email(
                    address, check_deliverability=False, test_environment=True, strict=True
                ).normalized
            )
        except (EmailNotValidError, UnicodeError, ValueError) as error:
            raise TransformError("invalid_email", f"{shown(value)} is not an e-mail address.") from error

    def sql(self, *expressions: str) -> str:
        usual = sql.literal(_USUAL_ADDRESS)
        return sql.once(
            sql.lowered(sql.trimmed(expressions[0])),
            lambda value: f"CASE WHEN length({value}) <= 64 AND {value} ~ {usual} THEN {value} END",
        )


class NormalizePhone(Transform):
    name = "normalize_phone"
    summary = (
        "Reads a phone number as E.164 (+14155550132); one without country code belongs to "
        "`default_country`. An extension follows as `x12` unless `extension` is drop; `check` is the length "
        "(possible) or the numbering plan (valid)."
    )

    default_country: Annotated[str, Field(pattern=r"^[A-Z]{2}$")] | None = None
    extension: Literal["keep", "drop"] = "keep"
    check: Literal["possible", "valid"] = "possible"

    def model_post_init(self, context: Any, /) -> None:
        if self.default_country and self.default_country not in phonenumbers.SUPPORTED_REGIONS:
            raise ValueError(f"{self.default_country} is not a country with phone numbers.")

    def apply(self, *values: Text) -> Text:
        value = (values[0] or "").strip(WHITESPACE)
        if not value:
            return None
        try:
            number = phonenumbers.parse(value[:250], self.default_country)
        except phonenumbers.NumberParseException as error:
            if (
                error.error_type == phonenumbers.NumberParseException.INVALID_COUNTRY_CODE
                and value[:1] != "+"
            ):
                raise TransformError(
                    "phone_without_country", f"{shown(value)} has no country code and no default is set."
                ) from error
            raise TransformError("invalid_phone", f"{shown(value)} is not a phone number.") from error
        sound = phonenumbers.is_possible_number if self.check == "possible" else phonenumbers.is_valid_number
        if not sound(number):
            raise TransformError("invalid_phone", f"{shown(value)} is not a {self.check} phone number.")
        text = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
        return f"{text}x{number.extension}" if number.extension and self.extension == "keep" else text


_SCHEME = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*://")
_HOST = re.compile(
    r"(?:[^\W_](?:[\w-]{0,61}[^\W_])?\.)+[^\W\d_](?:[\w-]{0,61}[^\W_])?|[0-9]{1,3}(?:\.[0-9]{1,3}){3}"
)
_PORTS = {"http": 80, "https": 443}


class NormalizeUrl(Transform):
    name = "normalize_url"
    summary = (
        "Adds https:// where no scheme stands, lowers scheme and host, drops default ports and a bare slash."
    )

    def apply(self, *values: Text) -> Text:
        value = (values[0] or "").strip(WHITESPACE)
        if not value:
            return None
        fault = TransformError("invalid_url", f"{shown(value)} is not a web address.")
        if len(value) > 2_000 or any(
            char in WHITESPACE or unicodedata.category(char) == "Cc" for char in value
        ):
            raise fault
        try:
            parts = urlsplit(value if _SCHEME.match(value) else f"https://{value.removeprefix('//')}")
            port = parts.port
        except ValueError as error:
            raise fault from error
        host = simple_lower(unicodedata.normalize("NFC", parts.hostname or "")).rstrip(".")
        if parts.scheme not in _PORTS or "@" in parts.netloc or len(host) > 253 or not _HOST.fullmatch(host):
            raise fault
        place = host if port in {None, _PORTS[parts.scheme]} else f"{host}:{port}"
        path = "" if parts.path == "/" and not parts.query and not parts.fragment else parts.path
        return urlunsplit(SplitResult(parts.scheme, place, path, parts.query, parts.fragment))


_PREFIX_WORDS = """mr mrs ms miss mx dr prof professor sir dame lord lady rev hon herr frau mme mlle m
    sr sra srta dott ing"""
_SUFFIX_WORDS = "jr sr ii iii iv v phd md dds esq cpa mba msc bsc ma ba jd rn"
_PARTICLE_WORDS = """van von vom zu zum zur de del della der den di da das do dos du la le les lo el al
    bin ibn ben ter ten"""
_PREFIXES = frozenset(_PREFIX_WORDS.split())
_SUFFIXES = frozenset(_SUFFIX_WORDS.split())
_PARTICLES = frozenset(_PARTICLE_WORDS.split())


class SplitName(Transform):
    name = "split_name"
    summary = (
        "Takes one part of a full name: `Dr. Ann Mary van Dyk Jr.` and `van Dyk, Ann Mary` have the same "
        "first, middle and last name. A single word is the last name."
    )

    part: Literal["prefix", "first", "middle", "last", "suffix"]
    order: Literal["given_first", "family_first"] = "given_first"

    def apply(self, *values: Text) -> Text:
        value = (values[0] or "").strip(WHITESPACE)
        return split_name(value, family_first=self.order == "family_first").get(self.part) if value else None


def split_name(full: str, *, family_first: bool = False) -> dict[str, str]:
    """The parts of a person's name that are there: prefix, first, middle, last, suffix."""
    family, comma, rest = full.partition(",")
    suffixes: list[str] = []
    if comma and all(_bare(word) in _SUFFIXES for word in rest.replace(",", " ").split()):
        suffixes, full, comma = rest.replace(",", " ").split(), family, ""
    words = (rest.replace(",", " ") if comma else full).split()
    prefixes: list[str] = []
    while len(words) > 1 and _bare(words[0]) in _PREFIXES:
        prefixes.append(words.pop(0))
    while len(words) > (0 if comma else 2) and _bare(words[-1]) in _SUFFIXES:
        suffixes.insert(0, words.pop())
    if comma:
        given, last = words, family.split()
    elif family_first:
        given, last = words[1:], words[:1]
    else:
        start = len(words) - 1
        while start > 1 and words[start - 1].lower() in _PARTICLES:
            start -= 1
        given, last = words[:start], words[start:]
    parts = {
        "prefix": " ".join(prefixes),
        "first": given[0] if given else "",
        "middle": " ".join(given[1:]),
        "last": " ".join(last),
        "suffix": " ".join(suffixes),
    }
    return {part: text for part, text in parts.items() if text}


def _bare(word: str) -> str:
    return word.replace(".", "").lower()


class Lookup(Transform):
    name = "lookup"
    summary = (
        "Finds the related record whose field has the value (an account by name, domain or external id, an "
        "owner by e-mail); `create` makes it where there is none. The pipeline looks up a batch at once."
    )

    entity: str = Field(min_length=1, max_length=64, pattern=r"^[a-z][a-z0-9_.]*$")
    match_field: str = Field(min_length=1, max_length=64, pattern=r"^[a-z][a-z0-9_.]*$")
    create: bool = False
    missing: Literal["error", "null"] = "error"

    by_pipeline: ClassVar[bool] = True

    def apply(self, *values: Text) -> Text:
        raise TypeError("A lookup needs the database; the pipeline runs it.")
