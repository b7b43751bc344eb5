"""Which column of a file goes to which field: a proposal from names, synonyms and content."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import lru_cache

from data_import.engine.formats import Kind, infer_kind
from data_import.engine.synonyms import ADDRESSES, SYNONYMS

THRESHOLD = 0.6
"""Below this confidence nothing is proposed."""


@dataclass(frozen=True, slots=True)
class MappingTarget:
    """A field that a column may go to. `kind` is one of email, phone, url, date, datetime, number, boolean,
    choice, relation or text; `choices` the accepted values and labels."""

    name: str
    label: str = ""
    kind: str = "text"
    choices: tuple[str, ...] = ()
    synonyms: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Suggestion:
    """`column` goes to `target` with a `confidence` from `THRESHOLD` to 1, because of `reason`."""

    column: str
    target: str
    confidence: float
    reason: str


# Words that say of whom or which, not what.
_NOISE = frozenset(
    {"1", "primary", "main", "default", "value", "the", "of", "no", "your", "contact", "lead", "customer"}
    | {"client", "person", "deal", "opportunity", "account", "record", "field", "work", "business"}
)
# Words that say nothing once those are gone: "Name" is not "Account name".
_BARE = frozenset({"name", "id", "number", "date", "code"})
_DESCRIBES_OTHERS = frozenset({"label", "labels", "type", "yomi", "phonetic", "photo"})

_KINDS: dict[str, frozenset[str]] = {
    "email": frozenset({"email"}),
    "phone": frozenset({"phone", "number"}),
    "url": frozenset({"url", "text"}),
    "date": frozenset({"date"}),
    "datetime": frozenset({"date"}),
    "number": frozenset({"number", "boolean"}),
    "boolean": frozenset({"boolean", "number", "text"}),
}


def suggest_mapping(
    headers: Sequence[str],
    sample_rows: Sequence[Sequence[str]],
    targets: Iterable[MappingTarget],
    *,
    threshold: float = THRESHOLD,
) -> list[Suggestion]:
    """At most one target for a column and one column for a target, in the order of the columns.

    Equal confidence goes to the earlier column and the earlier target.
    """
    offered = list(targets)
    scored: list[tuple[float, int, int, str]] = []
    for position, header in enumerate(headers):
        values = [row[position] for row in sample_rows if position < len(row)]
        kind, share = infer_kind(values)
        for place, target in enumerate(offered):
            confidence, reason = _confidence(header, target, kind, share, values)
            if confidence >= threshold:
                scored.append((-confidence, position, place, reason))
    taken: dict[int, Suggestion] = {}
    used: set[int] = set()
    for negative, position, place, reason in sorted(scored):
        if position not in taken and place not in used:
            used.add(place)
            taken[position] = Suggestion(headers[position], offered[place].name, round(-negative, 2), reason)
    return [taken[position] for position in sorted(taken)]


def _confidence(
    header: str, target: MappingTarget, kind: Kind, share: float, values: Sequence[str]
) -> tuple[float, str]:
    confidence, reason = _by_name(header, target)
    fitting = _KINDS.get(target.kind)
    if fitting and kind != "blank":
        if kind in fitting:
            confidence = min(1.0, confidence + 0.03) if confidence else confidence
        elif kind == "text" or confidence < 0.97:
            confidence -= 0.4 if kind != "text" else 0.15
    if target.choices and confidence < 0.9 and (found := _share_of_choices(values, target.choices)) >= 0.8:
        content = 0.62 + 0.1 * found
        if content > confidence:
            return content, "the values are choices of the field"
    if confidence < THRESHOLD and target.kind == kind and kind in {"email", "phone", "url"} and share >= 0.9:
        words = set(_words(header))
        if not words & _DESCRIBES_OTHERS:
            return 0.62, f"the values look like {kind} values"
    return confidence, reason


def _share_of_choices(values: Sequence[str], choices: Sequence[str]) -> float:
    known = {_normal(choice) for choice in choices}
    filled = [_normal(value) for value in values if value.strip()]
    if len(set(filled)) < 2:
        return 0.0
    return sum(1 for value in filled if value in known) / len(filled)


def _by_name(header: str, target: MappingTarget) -> tuple[float, str]:
    wanted = _normal(header)
    if not wanted:
        return 0.0, ""
    field = target.name.rpartition(".")[2]
    kind, _, part = field.partition("_")
    parts = (part, *SYNONYMS.get(part, ())) if kind in ADDRESSES else ()
    groups = (
        (1.0, "same name", (target.name, field)),
        (0.98, "same label", (target.label,)),
        (0.95, "synonym", (*target.synonyms, *SYNONYMS.get(field, ()))),
        (0.93, "synonym", tuple(f"{kind} {phrase}" for phrase in parts)),
        (0.9, "synonym", parts if kind != "other" else ()),
    )
    best, reason = 0.0, ""
    core = _core(header)
    for weight, why, phrases in groups:
        for phrase in filter(None, phrases):
            score, how = _compare(wanted, core, phrase)
            if score * weight > best:
                best, reason = score * weight, f"{why}{how}: {phrase}"
    if set(_words(header)) & _DESCRIBES_OTHERS and best < 0.95:
        return 0.0, ""
    return best, reason


def _compare(wanted: str, core: tuple[str, ...], phrase: str) -> tuple[float, str]:
    normal = _normal(phrase)
    if wanted == normal or wanted.replace(" ", "") == normal.replace(" ", ""):
        return 1.0, ""
    if sorted(wanted.split()) == sorted(normal.split()):
        return 0.9, " in other order"
    if set(core) - _BARE and core == _core(phrase):
        return 0.84, " but for common words"
    if len(normal) >= 5 and len(wanted) >= 5:
        matcher = SequenceMatcher(None, wanted, normal, autojunk=False)
        if matcher.real_quick_ratio() >= 0.88 and matcher.quick_ratio() >= 0.88:
            ratio = matcher.ratio()
            if ratio >= 0.88:
                return 0.8 * ratio, " but for spelling"
    return 0.0, ""


_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


@lru_cache(maxsize=4096)
def _words(text: str) -> tuple[str, ...]:
    plain = unicodedata.normalize("NFKD", _CAMEL.sub(" ", text[:255]))
    plain = "".join(char for char in plain if not unicodedata.combining(char)).casefold()
    plain = re.sub(r"\be[\s_-]?mail", "email", plain.replace("#", " number "))
    return tuple(re.findall(r"[^\W_]+", plain))


def _normal(text: str) -> str:
    return " ".join(_words(text))


def _core(text: str) -> tuple[str, ...]:
    return tuple(sorted(word for word in _words(text) if word not in _NOISE))
