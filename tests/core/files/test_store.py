"""Storing, reading, expiring and deleting files, by the operations."""

from __future__ import annotations

import errno
import hashlib
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.core.files.storage import InMemoryStorage
from django.test import TestCase
from django.utils import timezone

from core.files import blobs
from core.files.local import PrivateFileSystemStorage
from core.files.models import StoredFile
from core.files.operations import delete_files, store_file, sweep_files
from core.files.queries import find_file, get_file, open_file
from core.kernel.errors import InsufficientStorage, Invalid, TooLarge, Unavailable
from core.kernel.transactions import savepoint
from tests.worlds import World

pytestmark = pytest.mark.django_db

Store = Callable[..., StoredFile]
Left = Callable[[], dict[str, int]]
NOTHING = {"files": 0, "in-doubt": 0}


def read(world: World, file: StoredFile, role: str = "sales") -> bytes:
    with world.acting(role) as actor, open_file(get_file(actor, file.pk, timezone.now())) as content:
        return bytes(content.read())


def undo(world: World, role: str, work: Callable[[Any], Any]) -> Any:
    """What `work` returns for the actor, all of whose writes are undone."""
    with world.acting(role) as actor, suppress(ZeroDivisionError), savepoint():
        made = work(actor)
        raise ZeroDivisionError
    return made


class TestStoring:
    def test_keeps_the_bytes_with_their_measure_hash_and_type(
        self, acme: World, store: Store, bytes_left: Left
    ) -> None:
        with TestCase.captureOnCommitCallbacks(execute=True):
            file = store([b"%PDF-", b"", b"1.7"], name="../plan.csv")

        with acme.acting():
            row = StoredFile.objects.get()
        assert row.pk == file.pk
        assert (row.name, row.size, row.content_type) == ("plan.csv", 8, "application/pdf")
        assert row.sha256 == hashlib.sha256(b"%PDF-1.7").hexdigest()
        assert row.created_by_id == acme.users["sales"]
        assert read(acme, file) == b"%PDF-1.7"
        assert bytes_left() == {"files": 1, "in-doubt": 0}

    @pytest.mark.parametrize("size", [0, 1, 999, 1_000])
    def test_takes_all_sizes_up_to_the_limit(self, acme: World, store: Store, size: int) -> None:
        assert read(acme, store(b"x" * size)) == b"x" * size

    @pytest.mark.parametrize("blocks", [[b"x" * 1_001], [b"x" * 1_000, b"y"], [b"x"] * 1_001])
    def test_refuses_one_byte_more_and_leaves_nothing(
        self, acme: World, store: Store, bytes_left: Left, blocks: list[bytes]
    ) -> None:
        with pytest.raises(TooLarge) as refusal:
            store(blocks)
        assert (refusal.value.code, refusal.value.extra) == ("file_too_large", {"limit": 1_000})
        assert bytes_left() == NOTHING

    @pytest.mark.parametrize("content", [b"", b"a,b\n", b"<html>", b"MZ\0\0"])
    def test_refuses_types_that_the_kind_does_not_take(
        self, store: Store, bytes_left: Left, content: bytes
    ) -> None:
        with pytest.raises(Invalid) as refusal:
            store(content, kind="picture", name="photo.png")
        assert refusal.value.code == "type_not_allowed"
        assert bytes_left() == NOTHING

    def test_streams_in_constant_memory(self, store: Store) -> None:
        block = bytes(1024 * 1024)
        tracemalloc.start()
        try:
            assert store((block for _ in range(48)), kind="large").size == 48 * len(block)
            assert tracemalloc.get_traced_memory()[1] < 8 * len(block)
        finally:
            tracemalloc.stop()

    def test_a_source_that_fails_leaves_nothing(self, store: Store, bytes_left: Left) -> None:
        def broken() -> Iterator[bytes]:
            yield b"x" * 10_000
            raise ConnectionResetError(errno.ECONNRESET, "the client has gone")

        with pytest.raises(Unavailable):
            store(broken(), kind="large")
        assert bytes_left() == NOTHING

    def test_a_disk_that_is_full_says_so_and_leaves_nothing(
        self, store: Store, bytes_left: Left, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        save = PrivateFileSystemStorage._save

        def full(self: Any, name: str, content: Any) -> str:
            if name.startswith("files/"):
                save(self, name, [next(content.chunks())] and type(content)([b"half"], "half", 10))
                raise OSError(errno.ENOSPC, "No space left on device")
            return save(self, name, content)

        monkeypatch.setattr(PrivateFileSystemStorage, "_save", full)
        with pytest.raises(InsufficientStorage):
            store(b"whole")
        assert bytes_left() == NOTHING


class TestRollingBack:
    def test_bytes_of_an_undone_transaction_go_with_the_next_sweep(
        self, acme: World, store: Store, bytes_left: Left
    ) -> None:
        kept = store()
        undo(acme, "sales", lambda _: store())
        assert bytes_left() == {"files": 2, "in-doubt": 2}

        assert sweep_files(now=timezone.now()) == {"expired": 0, "orphaned": 1}

        assert bytes_left() == {"files": 1, "in-doubt": 0}
        assert read(acme, kept) == b"Dear diary"

    def test_a_mark_that_was_never_finished_is_taken_away(self, acme: World, bytes_left: Left) -> None:
        mark = blobs.lay_mark(uuid4(), "")
        assert sweep_files(now=timezone.now())["orphaned"] == 0
        assert bytes_left() == NOTHING
        assert blobs.marked_key(mark) == ""


class TestDeleting:
    def test_removes_the_bytes_after_the_commit(self, acme: World, store: Store, bytes_left: Left) -> None:
        with TestCase.captureOnCommitCallbacks(execute=True):
            file, other = store(), store()
        with TestCase.captureOnCommitCallbacks() as callbacks, acme.acting() as actor:
            deleted = delete_files(actor=actor, file_ids=[file.pk, uuid4()], now=timezone.now())
            assert deleted == 1
            assert bytes_left()["files"] == 2, "the transaction may still be undone"
        for callback in callbacks:
            callback()
        assert bytes_left() == {"files": 1, "in-doubt": 0}
        with acme.acting():
            assert find_file(file.pk, timezone.now()) is None
        assert read(acme, other) == b"Dear diary"

    def test_that_is_undone_keeps_everything(self, acme: World, store: Store, bytes_left: Left) -> None:
        file = store()
        undo(acme, "admin", lambda actor: delete_files(actor=actor, file_ids=[file.pk], now=timezone.now()))
        sweep_files(now=timezone.now())
        assert read(acme, file) == b"Dear diary"
        assert bytes_left() == {"files": 1, "in-doubt": 0}

    def test_reaches_no_file_of_another_company(self, acme: World, globex: World, store: Store) -> None:
        theirs = store(world=globex)
        with acme.acting() as actor:
            assert delete_files(actor=actor, file_ids=[theirs.pk], now=timezone.now()) == 0
        assert read(globex, theirs) == b"Dear diary"


class TestRetention:
    def test_ends_by_the_kind_or_as_asked(self, acme: World, globex: World, store: Store) -> None:
        now = timezone.now()
        png = b"\x89PNG\r\n\x1a\n"
        files = {
            "kind": store(png, kind="picture", now=now),
            "asked": store(png, kind="picture", now=now, expires_at=now + timedelta(hours=1)),
            "never": store(now=now),
            "theirs": store(png, kind="picture", world=globex, now=now),
        }
        with acme.acting("sales"):
            later = now + timedelta(hours=2)
            found = {name: find_file(file.pk, later) is not None for name, file in files.items()}
        assert found == {"kind": True, "asked": False, "never": True, "theirs": False}

        assert sweep_files(now=now + timedelta(hours=2))["expired"] == 1
        assert sweep_files(now=now + timedelta(days=8))["expired"] == 2
        with acme.acting():
            assert [file.pk for file in StoredFile.objects.all()] == [files["never"].pk]


class TestStorage:
    def test_is_used_by_its_interface_alone(
        self, acme: World, store: Store, settings: Any, tmp_path: Any
    ) -> None:
        settings.MEDIA_ROOT = tmp_path / "elsewhere"
        settings.STORAGES = {
            **settings.STORAGES,
            "files": {"BACKEND": "django.core.files.storage.InMemoryStorage"},
        }
        assert isinstance(blobs.storage(), InMemoryStorage)
        with TestCase.captureOnCommitCallbacks(execute=True):
            kept, empty = store(b"in memory"), store(b"")
        undone = undo(acme, "sales", lambda _: store())
        assert (read(acme, kept), read(acme, empty)) == (b"in memory", b"")
        assert sweep_files(now=timezone.now())["orphaned"] == 1
        assert not blobs.storage().exists(undone.storage_key)
        with TestCase.captureOnCommitCallbacks(execute=True), acme.acting() as actor:
            delete_files(actor=actor, file_ids=[kept.pk], now=timezone.now())
        assert not blobs.storage().exists(kept.storage_key)
        assert blobs.storage().listdir("in-doubt")[1] == []
        assert not (tmp_path / "elsewhere").exists()


class TestIncoming:
    def test_is_read_in_pieces_of_any_size(self) -> None:
        blocks = [b"a" * 5_000, b"b" * 5_000, b"", b"c" * 5_000]
        incoming = blobs.Incoming(iter(blocks), "x", 20_000)
        incoming.seek(0)
        parts = []
        while part := incoming.read(4_096):
            parts.append(part)
        whole = b"".join(blocks)
        assert b"".join(parts) == whole
        assert {len(part) for part in parts[:-1]} == {4_096}
        assert (incoming.measured, incoming.sha256) == (len(whole), hashlib.sha256(whole).hexdigest())


@pytest.mark.django_db(transaction=True)
class TestAtOnce:
    def test_a_sweep_leaves_alone_what_is_being_stored(
        self, acme: World, store: Store, bytes_left: Left
    ) -> None:
        with acme.acting("sales") as actor:
            file = store_file(actor=actor, kind="note", name="n", blocks=[b"slow"], now=timezone.now())
            swept: list[dict[str, int]] = []

            def sweep() -> None:
                from django.db import connection

                swept.append(sweep_files(now=timezone.now() + timedelta(days=30)))
                connection.close()

            thread = threading.Thread(target=sweep)
            thread.start()
            thread.join()
            assert swept == [{"expired": 0, "orphaned": 0}]
            assert bytes_left() == {"files": 1, "in-doubt": 1}
        assert bytes_left() == {"files": 1, "in-doubt": 0}
        assert read(acme, file) == b"slow"

    def test_two_who_delete_the_same_delete_it_once(
        self, acme: World, store: Store, bytes_left: Left
    ) -> None:
        ids = [store().pk for _ in range(8)]
        counts: list[int] = []

        def delete(order: list[UUID]) -> None:
            from django.db import connection

            with acme.acting() as actor:
                counts.append(delete_files(actor=actor, file_ids=order, now=timezone.now()))
            connection.close()

        threads = [threading.Thread(target=delete, args=[order]) for order in (ids, ids[::-1], ids[4:])]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sum(counts) == len(ids)
        assert bytes_left() == NOTHING
