"""Ranges of bytes, by the table of RFC 9110."""

from __future__ import annotations

import pytest

from core.rest.ranges import ByteRange, NotSatisfiable, read_range

WHOLE, BEYOND = "the whole", "not satisfiable"

TABLE = [
    # header, size, first and last byte
    ("bytes=0-0", 10, (0, 0)),
    ("bytes=0-9", 10, (0, 9)),
    ("bytes=0-999", 10, (0, 9)),
    ("bytes=3-", 10, (3, 9)),
    ("bytes=9-", 10, (9, 9)),
    ("bytes=-3", 10, (7, 9)),
    ("bytes=-10", 10, (0, 9)),
    ("bytes=-11", 10, (0, 9)),
    ("bytes=000000000000000000000003-00000000000000000000004", 10, (3, 4)),
    ("bytes=0-" + "9" * 5_000, 10, (0, 9)),
    ("bytes= 2-4 ", 10, (2, 4)),
    ("bytes=10-", 10, BEYOND),
    ("bytes=10-20", 10, BEYOND),
    ("bytes=" + "9" * 5_000 + "-", 10, BEYOND),
    ("bytes=-0", 10, BEYOND),
    ("bytes=0-", 0, BEYOND),
    ("bytes=-5", 0, WHOLE),
    ("", 10, WHOLE),
    ("bytes", 10, WHOLE),
    ("bytes=", 10, WHOLE),
    ("bytes=-", 10, WHOLE),
    ("bytes=5-2", 10, WHOLE),
    ("bytes=a-b", 10, WHOLE),
    ("bytes=0-1,3-4", 10, WHOLE),
    ("bytes=+1-2", 10, WHOLE),
    ("bytes=1 - 2", 10, WHOLE),
    ("bytes=\u0661-\u0662", 10, WHOLE),
    ("lines=0-1", 10, WHOLE),
]


@pytest.mark.parametrize(("header", "size", "expected"), TABLE, ids=lambda value: str(value)[:40])
def test_a_range_is_read_as_the_standard_says(header: str, size: int, expected: object) -> None:
    if expected == BEYOND:
        with pytest.raises(NotSatisfiable):
            read_range(header, size)
        return
    found = read_range(header, size)
    if expected == WHOLE:
        assert found is None
        return
    assert found is not None
    assert (found.first, found.last) == expected


def test_a_range_says_its_length_and_place() -> None:
    part = ByteRange(3, 7)
    assert (part.length, part.of(10)) == (5, "bytes 3-7/10")
