"""Hashes of entries and seals, and the offline verifier of exported bundles.

This file needs Python alone: take it and a bundle to another machine and run

    python proofs.py BUNDLE [--checkpoints FILE]

An entry is two byte strings, *facts* (who, when, what, which fields) and *values* (what they held, and names). Its leaf is
`SHA-256(0x00 ‖ facts ‖ SHA-256(salt ‖ values))`: without the salt, which can be destroyed, the hash says nothing of the
values. A seal is the root of the Merkle tree of its leaves (RFC 9162: nodes are `SHA-256(0x01 ‖ left ‖ right)`), and the digest
of the seal before it.
"""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256
from typing import Any

SCHEMA = 1
SALT_BYTES = 16
HASH_BYTES = 32
EMPTY = bytes(HASH_BYTES)
# What a seal says of itself, in the order in which it is hashed.
SEAL_FIELDS = (
    "company",
    "number",
    "previous",
    "after_xid",
    "after_id",
    "until_xid",
    "until_id",
    "row_count",
    "root",
    "sealed_at",
)


def leaf_of(facts: bytes, salt: bytes, values: bytes) -> bytes:
    return sha256(b"\0" + facts + sha256(salt + values).digest()).digest()


def root_of(leaves: Sequence[bytes]) -> bytes:
    """The root of the tree; the hash of nothing for no leaves."""
    if not leaves:
        return sha256(b"").digest()
    level = list(leaves)
    while len(level) > 1:
        level = _above(level)
    return level[0]


def path_of(leaves: Sequence[bytes], place: int) -> list[tuple[str, bytes]]:
    """What leads from the leaf at the place to the root: sibling hashes, each with the side it stands on."""
    found = []
    level = list(leaves)
    while len(level) > 1:
        sibling = place ^ 1
        if sibling < len(level):
            found.append(("left" if sibling < place else "right", level[sibling]))
        level, place = _above(level), place // 2
    return found


def follow(leaf: bytes, path: Iterable[tuple[str, bytes]]) -> bytes:
    """The root that a path leads to."""
    for side, sibling in path:
        pair = sibling + leaf if side == "left" else leaf + sibling
        leaf = sha256(b"\1" + pair).digest()
    return leaf


def _above(level: Sequence[bytes]) -> list[bytes]:
    pairs = zip(level[::2], level[1::2], strict=False)
    found = [sha256(b"\1" + left + right).digest() for left, right in pairs]
    # One without a sibling goes up as it is.
    return [*found, level[-1]] if len(level) % 2 else found


def digest_of(seal: dict[str, Any]) -> str:
    """The digest of a seal: of its fields, each with its length before it."""
    texts = [str(SCHEMA), *(str(seal[name]) for name in SEAL_FIELDS)]
    return sha256(b"\2" + b"".join(b"%d:%s," % (len(t.encode()), t.encode()) for t in texts)).hexdigest()


def ids_digest(packed: bytes) -> str:
    """The digest of the numbers of removed entries, 8 bytes each."""
    return sha256(packed).hexdigest()


# --- bundles -------------------------------------------------------------------------------------------------------


def verify_bundle(lines: Iterable[str], checkpoints: dict[tuple[str, int], str]) -> Iterator[str]:
    """What is wrong with a bundle, in its order; nothing when all is well.

    Its lines are JSON: each seal, then each of its entries; at the end, which entries retention removed. A removed entry
    keeps its leaf, and another entry of the bundle must hold the digest of the list it is on. `checkpoints` are digests by
    company and number.
    """
    seal: dict[str, Any] | None = None
    previous: dict[str, Any] | None = None
    leaves: list[bytes] = []
    removed: set[int] = set()
    announced: dict[int, str] = {}
    highest: dict[str, int] = {}

    def closed() -> Iterator[str]:
        if seal is not None and (len(leaves) != seal["row_count"] or root_of(leaves).hex() != seal["root"]):
            yield f"seal {seal['number']}: its entries do not have its root"

    for line in lines:
        item = json.loads(line)
        if "seal" in item:
            yield from closed()
            previous, seal, leaves = seal, item["seal"], []
            number, company = seal["number"], seal["company"]
            highest[company] = number
            if digest_of(seal) != seal["digest"]:
                yield f"seal {number}: it was changed"
            if number != (previous["number"] + 1 if previous else 1):
                yield f"seal {number}: one before it is missing"
            if seal["previous"] != (previous["digest"] if previous else EMPTY.hex()):
                yield f"seal {number}: it does not follow the one before it"
            if checkpoints.get((company, number), seal["digest"]) != seal["digest"]:
                yield f"seal {number}: it is not the one of the checkpoint"
        elif "removal" in item:
            packed = base64.b64decode(item["ids"])
            # As the entry's values have it, which its leaf has proved.
            if f'"{ids_digest(packed)}"' in announced.get(item["removal"], ""):
                removed -= {
                    int.from_bytes(packed[place : place + 8], "big") for place in range(0, len(packed), 8)
                }
        elif item.get("is_removed"):
            removed.add(item["id"])
            leaves.append(bytes.fromhex(item["leaf"]))
        else:
            if ",9:retention," in item["facts"]:
                announced[item["id"]] = item["values"]
            salt = base64.b64decode(item["salt"])
            leaf = leaf_of(item["facts"].encode(), salt, item["values"].encode())
            if leaf.hex() != item["leaf"]:
                yield f"entry {item['id']}: it was changed"
            leaves.append(leaf)
    yield from closed()
    yield from (f"entry {log_id}: it was removed" for log_id in sorted(removed))
    for (company, number), _ in sorted(checkpoints.items()):
        if company in highest and number > highest[company]:
            yield f"seal {number}: there is a checkpoint of it, and it is missing"


def read_checkpoints(lines: Iterable[str]) -> dict[tuple[str, int], str]:
    """Digests by company and number. Of two lines for one seal, the first counts."""
    found: dict[tuple[str, int], str] = {}
    for line in lines:
        if line.strip():
            item = json.loads(line)
            found.setdefault((item["company"], item["number"]), item["digest"])
    return found


def main(arguments: Sequence[str]) -> int:
    """0 when the bundle is intact, 1 when it is not, 2 when it was not called right."""
    paths = list(arguments)
    checkpoints: dict[tuple[str, int], str] = {}
    if "--checkpoints" in paths:
        place = paths.index("--checkpoints")
        with open(paths[place + 1], encoding="utf-8") as file:
            checkpoints = read_checkpoints(file)
        del paths[place : place + 2]
    if len(paths) != 1:
        sys.stderr.write("usage: proofs.py BUNDLE [--checkpoints FILE]\n")
        return 2
    with open(paths[0], encoding="utf-8") as file:
        problems = list(verify_bundle(file, checkpoints))
    sys.stdout.write("".join(f"{problem}\n" for problem in problems) or "intact\n")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
