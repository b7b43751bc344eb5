"""The fonts of printed documents: Inter ships (Latin, Greek, Cyrillic); other scripts need a font of the machine."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

FONTS = Path(__file__).parent / "typefaces"
FAMILY = "Inter"


@dataclass(frozen=True)
class Script:
    label: str
    characters: re.Pattern[str]
    # Families that hold it, the best first: words of their names.
    families: tuple[str, ...]


def _script(label: str, characters: str, *families: str) -> Script:
    return Script(label, re.compile(f"[{characters}]"), families)


SCRIPTS = (
    _script(
        "Chinese, Japanese or Korean",
        "\u2e80-\u9fff\ua960-\ua97f\uac00-\ud7ff\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff",
        "Noto Sans CJK", "Noto Sans SC", "Noto Sans JP", "Noto Sans KR", "Source Han Sans", "WenQuanYi", "IPAGothic",
        "Droid Sans Fallback", "PingFang", "Hiragino", "Microsoft YaHei", "Noto Serif CJK",
    ),
    _script("Arabic", "\u0600-\u06ff\u0750-\u077f\u08a0-\u08ff\ufb50-\ufdff\ufe70-\ufefc",
            "Noto Sans Arabic", "Noto Naskh Arabic", "DejaVu Sans", "Geeza Pro"),
    _script("Hebrew", "\u0590-\u05ff\ufb1d-\ufb4f", "Noto Sans Hebrew", "DejaVu Sans", "Arial Hebrew"),
    _script("Devanagari", "\u0900-\u097f", "Noto Sans Devanagari", "Lohit Devanagari", "Kohinoor Devanagari"),
    _script("Thai", "\u0e00-\u0e7f", "Noto Sans Thai", "Loma", "Thonburi"),
    _script("emoji", "\U0001f000-\U0001faff", "Noto Color Emoji", "Noto Emoji", "Twemoji", "Apple Color Emoji", "DejaVu Sans"),
)  # fmt: skip


@lru_cache(1)
def font_book() -> Any:
    """Typst's fonts: ours, those of its package, those of the machine."""
    import typst

    return typst.Fonts(font_paths=[str(FONTS)])


@lru_cache(1)
def families() -> tuple[str, ...]:
    return tuple(font_book().families())


def fonts_for(text: str, known: tuple[str, ...] | None = None) -> tuple[list[str], list[str]]:
    """The families to print the text with, and the scripts in it that none of them holds."""
    known = families() if known is None else known
    used, missing = [FAMILY], []
    for script in SCRIPTS:
        if script.characters.search(text):
            found = next((name for word in script.families for name in known if name.startswith(word)), None)
            if found is None:
                missing.append(script.label)
            elif found not in used:
                used.append(found)
    return used, missing
