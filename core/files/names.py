"""Names of files as people give them."""

from __future__ import annotations

import unicodedata

MAX_NAME = 255
UNNAMED = "file"


def clean_name(name: str) -> str:
    """The last part of a path, as it may stand in a header, on a page and on a disk; never empty.

    Control characters, marks that turn the direction of writing, and blanks and dots at its ends go. A name that is too
    long is cut before its ending.
    """
    last = unicodedata.normalize("NFC", name).replace("\\", "/").rpartition("/")[2]
    printable = "".join(character for character in last if character.isprintable()).strip(". ")
    stem, dot, ending = printable.rpartition(".")
    if stem and len(ending) <= 16:
        return f"{stem[: MAX_NAME - len(dot + ending)]}{dot}{ending}"
    return printable[:MAX_NAME] or UNNAMED
