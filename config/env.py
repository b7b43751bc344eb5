"""The one place that reads settings from the environment.

Every fault is collected first, so that one message names all that is missing or wrong.
"""

import json
import os
import secrets
import sys
from collections.abc import Callable, Mapping
from ipaddress import ip_network
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import parse_qsl, unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured

from config.home import Home

_TRUE = {"1", "true", "yes", "on"}
_FALSE = {"0", "false", "no", "off"}

T = TypeVar("T")


class Environment:
    """Typed reading of environment variables. Call `check()` once all are read."""

    def __init__(self, source: Mapping[str, str] = os.environ) -> None:
        self._source = source
        self._faults: list[str] = []

    def check(self) -> None:
        """Raise ImproperlyConfigured naming every variable that is missing or wrong."""
        if self._faults:
            raise ImproperlyConfigured(
                "The environment is not complete:\n" + "\n".join(f"  {fault}" for fault in self._faults)
            )

    def text(self, name: str, default: str | None = None, *, minimum: int = 1) -> str:
        """A string; without a default it must be set and hold at least `minimum` characters."""

        def parse(raw: str) -> str:
            if len(raw) < minimum:
                raise ValueError(f"needs at least {minimum} characters")
            return raw

        return self._read(name, default, parse, fallback="")

    def integer(self, name: str, default: int | None = None, *, minimum: int = 0) -> int:
        """A whole number of at least `minimum`."""

        def parse(raw: str) -> int:
            try:
                number = int(raw)
            except ValueError:
                raise ValueError("is not a whole number") from None
            if number < minimum:
                raise ValueError(f"must be at least {minimum}")
            return number

        return self._read(name, default, parse, fallback=minimum)

    def boolean(self, name: str, default: bool | None = None) -> bool:
        """One of 1/true/yes/on or 0/false/no/off."""

        def parse(raw: str) -> bool:
            if raw.lower() in _TRUE | _FALSE:
                return raw.lower() in _TRUE
            raise ValueError("must be true or false")

        return self._read(name, default, parse, fallback=False)

    def networks(self, name: str) -> list[str]:
        """Addresses and networks (CIDR), separated by commas; none without it."""

        def parse(raw: str) -> list[str]:
            try:
                return [str(ip_network(item.strip())) for item in raw.split(",") if item.strip()]
            except ValueError as error:
                raise ValueError(f"holds something that is no network: {error}") from None

        return self._read(name, [], parse, fallback=[])

    def choice(self, name: str, default: str | None, allowed: tuple[str, ...]) -> str:
        """One of the `allowed` words."""

        def parse(raw: str) -> str:
            if raw not in allowed:
                raise ValueError(f"must be one of {', '.join(allowed)}")
            return raw

        return self._read(name, default, parse, fallback=allowed[0])

    def items(self, name: str, default: list[str] | None = None) -> list[str]:
        """A list separated by commas, with at least one item."""

        def parse(raw: str) -> list[str]:
            found = [part.strip() for part in raw.split(",") if part.strip()]
            if not found:
                raise ValueError("needs at least one item")
            return found

        return self._read(name, default, parse, fallback=[])

    def keys(self, name: str, default: dict[str, str] | None = None) -> dict[str, str]:
        """Named secrets as `id:secret,id:secret` in order; the first is the one in use for new work."""

        def parse(raw: str) -> dict[str, str]:
            found: dict[str, str] = {}
            for part in raw.split(","):
                kid, _, secret = part.strip().partition(":")
                if not kid or len(secret) < 32:
                    raise ValueError("must be a list of id:secret, each secret of at least 32 characters")
                if kid in found:
                    raise ValueError(f"names the key {kid} twice")
                found[kid] = secret
            return found

        return self._read(name, default, parse, fallback={})

    def database(self, name: str, default: dict[str, Any] | None = None) -> dict[str, Any]:
        """Django's connection parameters out of `postgresql://user:password@host:port/name?option=value`."""

        def parse(raw: str) -> dict[str, Any]:
            try:
                url = urlsplit(raw)
                port = url.port
            except ValueError:
                raise ValueError("is not a URL") from None
            if url.scheme not in {"postgresql", "postgres"} or not url.path.strip("/"):
                raise ValueError("must look like postgresql://user:password@host:port/name")
            return {
                "NAME": unquote(url.path[1:]),
                "USER": unquote(url.username or ""),
                "PASSWORD": unquote(url.password or ""),
                "HOST": unquote(url.hostname or ""),
                "PORT": str(port or ""),
                "OPTIONS": dict(parse_qsl(url.query)),
            }

        return self._read(name, default, parse, fallback={})

    def redis(self, name: str, default: str | None = None) -> str:
        """A Redis URL (`redis://`, `rediss://` or `unix://`)."""

        def parse(raw: str) -> str:
            if urlsplit(raw).scheme not in {"redis", "rediss", "unix"}:
                raise ValueError("must be a redis://, rediss:// or unix:// URL")
            return raw

        return self._read(name, default, parse, fallback="")

    def _read(self, name: str, default: T | None, parse: Callable[[str], T], fallback: T) -> T:
        raw = self._source.get(name, "").strip()
        if not raw:
            if default is None:
                self._faults.append(f"{name} is not set")
                return fallback
            return default
        try:
            return parse(raw)
        except ValueError as fault:
            self._faults.append(f"{name} {fault}")
            return fallback


def process_kind(source: Mapping[str, str] = os.environ, program: str = "") -> str:
    """What this process is for: `request` (said by the WSGI and ASGI entries), `job` (Celery) or `command` (all else)."""
    named = source.get("CRM_PROCESS", "")
    if named:
        return named
    return "job" if "celery" in Path(program or sys.argv[0]).parts else "command"


def celery_url(redis_url: str) -> str:
    """The same Redis as Celery's transport spells it: sockets are `redis+socket://`."""
    if not redis_url.startswith("unix://"):
        return redis_url
    url = urlsplit(redis_url)
    database = dict(parse_qsl(url.query)).get("db", "0")
    return f"redis+socket://{url.path}?virtual_host={database}"


def local_secrets(home: Home) -> dict[str, str]:
    """The secrets of a local system, kept by `config.embedded.ensure_secrets` in the home folder.

    Before the first start there are none; what runs then (checks, schema) gets throw-away ones.
    """
    try:
        kept: dict[str, str] = json.loads(home.secrets_file.read_text())
    except FileNotFoundError:
        return new_secrets()
    return kept


def new_secrets() -> dict[str, str]:
    """Fresh random secrets under the names of their environment variables."""
    return {"SECRET_KEY": secrets.token_urlsafe(48), "JWT_KEYS": f"local:{secrets.token_urlsafe(48)}"}
