"""Request bodies as JSON, strictly: numbers exact, keys once, depth and size bounded, nothing PostgreSQL cannot hold."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from decimal import Decimal
from typing import IO, Any

from rest_framework.parsers import BaseParser

from core.kernel.errors import Invalid, TooLarge
from core.rest.encoding import JSON, upgraded

MAX_BODY_BYTES = 10 * 1024 * 1024
MAX_DEPTH = 32
# 1e999999999 as a Decimal is cheap to hold and dear to print or round.
MAX_EXPONENT = 400


class _Refused(ValueError):
    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        # In one pass: a body may have a million keys.
        counts = Counter(name for name, _ in pairs)
        twice = next(name for name, count in counts.items() if count > 1)
        raise _Refused("duplicate_key", f"The key {twice[:100]!r} occurs twice in one object.")
    return document


def _number(text: str) -> Decimal:
    number = Decimal(text)
    if not -MAX_EXPONENT < number.adjusted() < MAX_EXPONENT:
        raise _Refused("number_out_of_range", "A number is out of range.")
    return number


def _integer(text: str) -> int | Decimal:
    if len(text) > MAX_EXPONENT:
        raise _Refused("number_out_of_range", "A number is out of range.")
    return int(text)


def _constant(text: str) -> None:
    raise _Refused("not_json", f"{text} is not JSON.")


_DECODER = json.JSONDecoder(
    object_pairs_hook=_object, parse_float=_number, parse_int=_integer, parse_constant=_constant
)


def _depth(document: Any) -> int:
    level, depth = [document], 0
    while level:
        level = [
            child
            for item in level
            if isinstance(item, dict | list)
            for child in (item.values() if isinstance(item, dict) else item)
        ]
        depth += 1
    return depth


def read_json(body: bytes) -> Any:
    """The document in `body`.

    Raises: Invalid (code says what is wrong), TooLarge.
    """
    if len(body) > MAX_BODY_BYTES:
        raise TooLarge(
            f"A body may have {MAX_BODY_BYTES} bytes.", code="body_too_large", limit=MAX_BODY_BYTES
        )
    try:
        document = _DECODER.decode(body.decode("utf-8"))
    except _Refused as refused:
        raise Invalid(str(refused), code=refused.code) from None
    except UnicodeDecodeError as error:
        raise Invalid(f"The body is not UTF-8 at byte {error.start}.", code="not_utf8") from None
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise Invalid(f"The body is not JSON at {where}.", code="not_json") from None
    except RecursionError:
        raise Invalid(f"A document may be {MAX_DEPTH} levels deep.", code="too_deep") from None
    may_be_deep = body.count(b"{") + body.count(b"[") > MAX_DEPTH
    if may_be_deep and _depth(document) > MAX_DEPTH + 1:
        raise Invalid(f"A document may be {MAX_DEPTH} levels deep.", code="too_deep")
    return document


class StrictJsonParser(BaseParser):
    """A JSON document, in the shape of the newest API version. The view is an `ApiView`."""

    media_type = JSON

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        document = read_json(stream.read(MAX_BODY_BYTES + 1))
        return document if parser_context is None else upgraded(parser_context["view"].exchange, document)
