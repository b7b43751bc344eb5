"""SQL of repeatable chance: the same draw for the same seed and row, on every machine."""

from __future__ import annotations

from collections.abc import Sequence
from zlib import crc32

# What every relation reads: the draw's seed, whose company, who works, since when, now, when all ends, and which rows.
HERE = (
    "here AS MATERIALIZED (SELECT %s::bigint AS seed, %s::uuid AS company, %s::uuid AS me, %s::timestamptz AS since, "
    "%s::timestamptz AS at, %s::timestamptz AS until, %s::bigint AS first, %s::bigint AS last)"
)


def draw(count: int | str, about: str, key: str = "k::text") -> str:
    """A whole number from 0 to below `count`. Draws about different things do not depend on each other."""
    salt = crc32(about.encode())
    return f"mod(hashtextextended({key}, here.seed + {salt}) & 9223372036854775807, ({count})::bigint)::int"


def array(words: Sequence[object]) -> str:
    """The words as an SQL array."""
    quoted = ", ".join("'" + str(word).replace("'", "''").replace("%", "%%") + "'" for word in words)
    return f"(ARRAY[{quoted}]::text[])"


def one_of(words: Sequence[object], about: str, key: str = "k::text") -> str:
    """One of the words; a word that is there more than once comes up more often."""
    return f"{array(words)}[1 + {draw(len(words), about, key)}]"


def latest(table: str, limit: int, condition: str = "true") -> str:
    """The ids of this person's latest records, as an array; null when there is none."""
    order = "t.created_at DESC, t.id DESC"
    return (
        f"(SELECT array_agg(t.id ORDER BY {order}) FROM (SELECT t.id, t.created_at FROM {table} t "
        "WHERE t.company_id = here.company AND t.owner_id = here.me AND t.deleted_at IS NULL "
        f"AND {condition} ORDER BY {order} LIMIT {limit}) t)"
    )


def item(ids: str, about: str, key: str = "k::text") -> str:
    """One element of an array, or null of an empty one."""
    return f"{ids}[1 + {draw(f'greatest(cardinality({ids}), 1)', about, key)}]"


# An id as if it was made at that time. The same distance for all rows of a sitting, so that ids rise in their order.
ID = "uuidv7(here.at - now())"
