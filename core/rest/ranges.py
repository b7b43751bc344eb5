"""Ranges of bytes as RFC 9110 (section 14) defines them. Knows nothing of files."""

from __future__ import annotations

import re
from dataclasses import dataclass

_SINGLE = re.compile(r"bytes=[ \t]*(?:(?P<first>\d+)-(?P<last>\d*)|-(?P<suffix>\d+))[ \t]*", re.ASCII)
# Longer numbers than any file has bytes, and than Python reads in reasonable time.
_MAX_DIGITS = 18


@dataclass(frozen=True, slots=True)
class ByteRange:
    """Bytes `first` to `last`, both included."""

    first: int
    last: int

    @property
    def length(self) -> int:
        return self.last - self.first + 1

    def of(self, size: int) -> str:
        """The Content-Range of a representation of that size."""
        return f"bytes {self.first}-{self.last}/{size}"


class NotSatisfiable(Exception):
    """The range begins behind the end."""


def read_range(header: str, size: int) -> ByteRange | None:
    """The one range that a Range header asks for; none when the whole is to be sent.

    What is malformed, of another unit, or more than one range is ignored, as the RFC lets a server do.
    Raises: NotSatisfiable.
    """
    found = _SINGLE.fullmatch(header)
    if found is None:
        return None
    if found["suffix"] is not None:
        wanted = _number(found["suffix"])
        if not wanted:
            raise NotSatisfiable
        # The last bytes of nothing are nothing, which no Content-Range can say.
        return ByteRange(max(0, size - wanted), size - 1) if size else None
    first = _number(found["first"])
    last = _number(found["last"]) if found["last"] else size - 1
    if found["last"] and last < first:
        return None
    if first >= size:
        raise NotSatisfiable
    return ByteRange(first, min(last, size - 1))


def _number(digits: str) -> int:
    plain = digits.lstrip("0")
    return int(plain or "0") if len(plain) <= _MAX_DIGITS else 10**_MAX_DIGITS
