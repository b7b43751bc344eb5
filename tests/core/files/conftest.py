"""Kinds of files that only tests have, and a private place for their bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from core.files.kinds import FILE_KINDS, FileKind, owner_reads, readers_of_record
from core.files.models import StoredFile
from core.files.operations import store_file
from tests.worlds import World

KINDS = (
    FileKind("note", max_bytes=1_000, readers=owner_reads),
    FileKind(
        "picture",
        max_bytes=1_000,
        retention=lambda: timedelta(days=7),
        content_types=frozenset({"image/png", "application/pdf"}),
    ),
    FileKind("attachment", max_bytes=1_000, readers=readers_of_record),
    FileKind("large", max_bytes=64 * 1024 * 1024),
)


@pytest.fixture(autouse=True)
def _kinds(tmp_path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.MEDIA_ROOT = tmp_path / "media"
    known = {name: FILE_KINDS[name] for name in FILE_KINDS.names()}
    monkeypatch.setattr(FILE_KINDS, "_entries", known | {kind.name: kind for kind in KINDS})


@pytest.fixture
def store(acme: World) -> Callable[..., StoredFile]:
    """A function that stores bytes for a member, in the open transaction or one of its own."""

    def stored(
        content: bytes | Iterable[bytes] = b"Dear diary",
        *,
        kind: str = "note",
        name: str = "diary.txt",
        world: World = acme,
        role: str = "sales",
        **others: Any,
    ) -> StoredFile:
        blocks = [content] if isinstance(content, bytes) else content
        others.setdefault("now", timezone.now())
        with world.acting(role) as actor:
            return store_file(actor=actor, kind=kind, name=name, blocks=blocks, **others)

    return stored


@pytest.fixture
def bytes_left(settings: Any) -> Callable[[], dict[str, int]]:
    """How many files and marks lie in the storage."""

    def counted() -> dict[str, int]:
        root = Path(settings.MEDIA_ROOT)
        return {
            folder: sum(path.is_file() for path in root.glob(f"{folder}/**/*"))
            for folder in ("files", "in-doubt")
        }

    return counted
