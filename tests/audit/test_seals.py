"""Seals: whatever is done to the log or to its seals is found, and the first bad entry named."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection, transaction
from django.utils import timezone

from audit.models import AuditSeal
from audit.operations import seals
from audit.sealing import checkpoints, proofs
from audit.sealing.verifying import Verified, verify_company, write_bundle
from core.changes.facts import record_fact
from core.kernel.ids import uuid7
from core.kernel.transactions import unit_of_work
from core.tenancy.context import system_context
from core.tenancy.postgresql.base import database_owner
from tests.worlds import World, make_world

pytestmark = pytest.mark.django_db(transaction=True)
OFFLINE = Path(proofs.__file__)


def write_some(world: World, count: int = 6) -> None:
    client = world.client()
    for number in range(count):
        record = client.post("/api/v1/accounts/", {"name": f"{world.company.slug} {number}"}).json()["id"]
        client.patch(f"/api/v1/accounts/{record}/", {"name": f"{world.company.slug} {number} Inc"})
    with world.acting():
        record_fact(action="export", entity_type="account", details={"rows": count})


def seal_all(batch: int = 7) -> int:
    return seals.seal_new(now=timezone.now, batch=batch)


def verify(world: World) -> Verified:
    with system_context("test"), unit_of_work():
        return verify_company(world.company.pk)


@contextmanager
def as_owner() -> Iterator[Any]:
    """With the owner's rights, in a transaction that is undone."""
    with database_owner(), system_context("tampering"), transaction.atomic():
        with connection.cursor() as cursor:
            yield cursor
        transaction.set_rollback(True)


@pytest.fixture
def worlds(settings: Any, tmp_path: Path) -> tuple[World, World]:
    settings.AUDIT_CHECKPOINT_FILE = str(tmp_path / "checkpoints.jsonl")
    acme, globex = make_world("acme"), make_world("globex")
    for _ in range(2):
        write_some(acme)
        write_some(globex)
        seal_all()
    return acme, globex


class TestSealing:
    def test_covers_every_entry_once(self, worlds: tuple[World, World]) -> None:
        for world in worlds:
            verified = verify(world)
            assert verified.problems == []
            with system_context("test"), unit_of_work(), connection.cursor() as cursor:
                cursor.execute(
                    "SELECT count(*) FROM core_changelog WHERE company_id = %s", [world.company.pk]
                )
                assert verified.entries == cursor.fetchone()[0]
                ids = [
                    log_id
                    for seal in AuditSeal.objects.filter(company_id=world.company.pk)
                    for log_id in seals.log_ids_of(seal)
                ]
            assert len(ids) == len(set(ids)) == verified.entries
        assert seal_all() == 0

    def test_leaves_what_is_under_way_for_later(self, worlds: tuple[World, World]) -> None:
        acme, globex = worlds
        written, go_on = threading.Event(), threading.Event()

        def slow() -> None:
            with globex.acting():
                record_fact(action="export", entity_type="lead")
                written.set()
                go_on.wait(20)
            connection.close()

        thread = threading.Thread(target=slow)
        thread.start()
        assert written.wait(20)
        write_some(acme, 1)
        early = seal_all()
        go_on.set()
        thread.join()
        assert (early, seal_all() > 0) == (0, True)
        assert verify(acme).is_intact
        assert verify(globex).is_intact

    def test_is_said_outside_the_database(self, worlds: tuple[World, World], settings: Any) -> None:
        with system_context("test"), unit_of_work():
            kept = {(str(s.company_id), s.number): s.digest for s in AuditSeal.objects.all()}
        assert checkpoints.published() == kept

    def test_that_dies_before_its_commit_begins_again(
        self, worlds: tuple[World, World], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        acme, _ = worlds
        write_some(acme)
        for point in ("seal.before_commit", "seal.after_commit"):

            def die(name: str, point: str = point) -> None:
                if name == point:
                    raise ZeroDivisionError

            with monkeypatch.context() as patch:
                patch.setattr(seals, "fault", die)
                with pytest.raises(ZeroDivisionError):
                    seal_all()
        seal_all()
        assert verify(acme).is_intact


# --- tampering -------------------------------------------------------------------------------------------------------

Tamper = Callable[[Any, World, World, list[int]], int | None]


def edit_values(cursor: Any, acme: World, globex: World, ids: list[int]) -> int:
    log_id = random.choice(ids)
    cursor.execute(
        "UPDATE core_changelog SET new_values = coalesce(new_values, '{}') || '{\"name\": \"forged\"}' WHERE id = %s",
        [log_id],
    )
    return log_id


def edit_action(cursor: Any, acme: World, globex: World, ids: list[int]) -> int:
    log_id = random.choice(ids)
    cursor.execute("UPDATE core_changelog SET action = action || 'x' WHERE id = %s", [log_id])
    return log_id


def edit_time(cursor: Any, acme: World, globex: World, ids: list[int]) -> int:
    log_id = random.choice(ids)
    cursor.execute("UPDATE core_changelog SET at = at - interval '1 microsecond' WHERE id = %s", [log_id])
    return log_id


def edit_actor(cursor: Any, acme: World, globex: World, ids: list[int]) -> int:
    log_id = random.choice(ids)
    cursor.execute(
        "UPDATE core_changecontext SET actor_id = %s WHERE id = (SELECT context_id FROM core_changelog WHERE id = %s) "
        "RETURNING id",
        [uuid7(), log_id],
    )
    [context] = cursor.fetchone()
    cursor.execute("SELECT min(id) FROM core_changelog WHERE context_id = %s", [context])
    return int(cursor.fetchone()[0])


def delete_one(cursor: Any, acme: World, globex: World, ids: list[int]) -> int:
    log_id = random.choice(ids)
    cursor.execute("DELETE FROM core_changelog WHERE id = %s", [log_id])
    return log_id


def delete_tail(cursor: Any, acme: World, globex: World, ids: list[int]) -> int:
    log_id = random.choice(ids)
    cursor.execute("DELETE FROM core_changelog WHERE id >= %s AND company_id = %s", [log_id, acme.company.pk])
    return log_id


def insert_one(cursor: Any, acme: World, globex: World, ids: list[int]) -> int:
    cursor.execute(
        "INSERT INTO core_changelog (company_id, at, xid, action, entity_type, entity_id, context_id) "
        "SELECT company_id, at, xid, 'update', entity_type, entity_id, context_id FROM core_changelog WHERE id = %s "
        "RETURNING id",
        [random.choice(ids[:-1])],
    )
    return int(cursor.fetchone()[0])


def swap_two(cursor: Any, acme: World, globex: World, ids: list[int]) -> int:
    first, second = sorted(random.sample(ids, 2))
    cursor.execute(
        "UPDATE core_changelog l SET (entity_id, action, old_values, new_values) = "
        "(SELECT uuidv7(), o.action, o.old_values, o.new_values FROM core_changelog o WHERE o.id <> l.id AND o.id IN (%s, %s)) "
        "WHERE l.id IN (%s, %s)",
        [first, second, first, second],
    )
    return first


def move_away(cursor: Any, acme: World, globex: World, ids: list[int]) -> int:
    log_id = random.choice(ids)
    cursor.execute("UPDATE core_changelog SET company_id = %s WHERE id = %s", [globex.company.pk, log_id])
    return log_id


def truncate(cursor: Any, acme: World, globex: World, ids: list[int]) -> int:
    cursor.execute("DELETE FROM core_changelog WHERE company_id = %s", [acme.company.pk])
    return ids[0]


def seal_again_without_the_key(cursor: Any, acme: World, globex: World, ids: list[int]) -> None:
    edit_values(cursor, acme, globex, ids)
    forge(acme, b"guessed")


def seal_again_with_the_key(cursor: Any, acme: World, globex: World, ids: list[int]) -> None:
    edit_values(cursor, acme, globex, ids)
    forge(acme, None)


def truncate_and_seal_again_with_the_key(cursor: Any, acme: World, globex: World, ids: list[int]) -> None:
    cursor.execute(
        "DELETE FROM core_changelog WHERE company_id = %s AND id > %s", [acme.company.pk, ids[len(ids) // 2]]
    )
    forge(acme, None)


def drop_last_seal_and_its_entries(cursor: Any, acme: World, globex: World, ids: list[int]) -> None:
    last = AuditSeal.objects.filter(company_id=acme.company.pk).order_by("-number")[0]
    cursor.execute("DELETE FROM core_changelog WHERE id = ANY(%s)", [seals.log_ids_of(last)])
    last.delete()


def edit_seal(cursor: Any, acme: World, globex: World, ids: list[int]) -> None:
    cursor.execute(
        "UPDATE audit_auditseal SET row_count = row_count + 1 WHERE company_id = %s AND number = 1",
        [acme.company.pk],
    )


def forge(world: World, key: bytes | None) -> None:
    """Make the company's seals anew from what the log says now."""
    from audit.sealing.entries import read_between

    sign = checkpoints.sign
    AuditSeal.objects.filter(company_id=world.company.pk).delete()
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT xid, id FROM core_changelog WHERE company_id = %s ORDER BY xid, id", [world.company.pk]
        )
        places = {log_id: xid for xid, log_id in cursor.fetchall()}
    rows = read_between(world.company.pk, (0, 0), (2**62, 2**62))
    entries = [(places[row[0]], row) for row in rows]
    if key is not None:
        checkpoints.sign = lambda digest: digest  # type: ignore[assignment]
    try:
        for start in range(0, len(entries), 7):
            seals._seal(world.company.pk, entries[start : start + 7], timezone.now())
    finally:
        checkpoints.sign = sign


OF_ENTRIES: list[Tamper] = [
    edit_values,
    edit_action,
    edit_time,
    edit_actor,
    delete_one,
    delete_tail,
    insert_one,
    swap_two,
    move_away,
    truncate,
]
OF_SEALS = [
    seal_again_without_the_key,
    seal_again_with_the_key,
    truncate_and_seal_again_with_the_key,
    drop_last_seal_and_its_entries,
    edit_seal,
]


def sealed_ids(world: World) -> list[int]:
    """The company's sealed entries in the order of the log."""
    found = AuditSeal.objects.filter(company_id=world.company.pk).order_by("number")
    return [log_id for seal in found for log_id in seals.log_ids_of(seal)]


class TestTampering:
    @pytest.mark.parametrize("trials", [20, pytest.param(100, marks=pytest.mark.long)])
    def test_with_entries_is_found_and_the_first_bad_one_named(
        self, trials: int, worlds: tuple[World, World]
    ) -> None:
        acme, globex = worlds
        random.seed(5)
        for tamper in OF_ENTRIES:
            for trial in range(trials):
                with as_owner() as cursor:
                    first = tamper(cursor, acme, globex, sealed_ids(acme))
                    problems = verify_company(acme.company.pk).problems
                named = [problem.log_id for problem in problems if problem.log_id is not None]
                assert named, f"{tamper.__name__}, trial {trial}"
                assert first in named, f"{tamper.__name__}, trial {trial}"
                if tamper is not edit_actor:
                    assert named[0] == first, f"{tamper.__name__}, trial {trial}"

    def test_with_seals_is_found(self, worlds: tuple[World, World]) -> None:
        acme, globex = worlds
        random.seed(6)
        for tamper in OF_SEALS:
            with as_owner() as cursor:
                tamper(cursor, acme, globex, sealed_ids(acme))
                problems = verify_company(acme.company.pk).problems
            assert problems, tamper.__name__

    def test_with_the_key_is_found_by_the_checkpoints_alone(
        self, worlds: tuple[World, World], settings: Any
    ) -> None:
        acme, globex = worlds
        with as_owner() as cursor:
            seal_again_with_the_key(cursor, acme, globex, sealed_ids(acme))
            kinds = {problem.kind for problem in verify_company(acme.company.pk).problems}
            settings.AUDIT_CHECKPOINT_FILE = ""
            blind = verify_company(acme.company.pk).problems
        assert "seal_replaced" in kinds
        assert blind == []

    def test_shows_in_the_other_company_too(self, worlds: tuple[World, World]) -> None:
        acme, globex = worlds
        with as_owner() as cursor:
            moved = move_away(cursor, acme, globex, sealed_ids(acme)[:3])
            problems = verify_company(globex.company.pk).problems
        assert [(problem.kind, problem.log_id) for problem in problems] == [("inserted", moved)]

    def test_is_what_the_command_ends_with(
        self, worlds: tuple[World, World], capsys: pytest.CaptureFixture[str]
    ) -> None:
        acme, _ = worlds
        call_command("audit_verify")
        assert capsys.readouterr().out.count("intact") == 2
        with database_owner(), system_context("tampering"), transaction.atomic():
            log_id = sealed_ids(acme)[3]
            with connection.cursor() as cursor:
                cursor.execute("DELETE FROM core_changelog WHERE id = %s", [log_id])
        with pytest.raises(SystemExit) as ended:
            call_command("audit_verify", company="acme")
        assert ended.value.code == 1
        assert f"Entry {log_id} was removed." in capsys.readouterr().out


class TestBundles:
    def verified(self, path: Path, checkpoint_file: str) -> tuple[int, str]:
        """By a Python that has nothing of ours."""
        command = [sys.executable, "-I", "-S", str(OFFLINE), str(path), "--checkpoints", checkpoint_file]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        return done.returncode, done.stdout + done.stderr

    def test_are_verified_anywhere(self, worlds: tuple[World, World], tmp_path: Path, settings: Any) -> None:
        acme, globex = worlds
        path = tmp_path / "acme.jsonl"
        call_command("audit_verify", company="acme", bundle=str(path))
        assert self.verified(path, settings.AUDIT_CHECKPOINT_FILE) == (0, "intact\n")
        random.seed(7)
        for tamper in [*OF_ENTRIES, *OF_SEALS]:
            with as_owner() as cursor:
                tamper(cursor, acme, globex, sealed_ids(acme))
                with path.open("w") as file:
                    write_bundle(acme.company.pk, file)
            code, said = self.verified(path, settings.AUDIT_CHECKPOINT_FILE)
            assert code == 1, f"{tamper.__name__}: {said}"


class TestApi:
    def test_lists_seals_and_proves_entries(self, worlds: tuple[World, World]) -> None:
        acme, globex = worlds
        client = acme.client()
        seal = client.get("/api/v1/audit/seals/").json()["results"][0]
        with system_context("test"), unit_of_work():
            ids = seals.log_ids_of(AuditSeal.objects.get(pk=seal["id"]))
        for log_id in ids:
            proof = client.get(f"/api/v1/audit/seals/{seal['id']}/proof/?log={log_id}").json()
            path = [(step["side"], bytes.fromhex(step["hash"])) for step in proof["path"]]
            assert proofs.follow(bytes.fromhex(proof["leaf"]), path).hex() == seal["root"]
            assert proof["is_intact"] is True
        assert client.get(f"/api/v1/audit/seals/{seal['id']}/proof/?log=1").json()["code"] == "not_sealed"
        assert client.get(f"/api/v1/audit/seals/{seal['id']}/proof/?log=x").status_code == 400
        assert globex.client().get(f"/api/v1/audit/seals/{seal['id']}/proof/?log={ids[0]}").status_code == 404
        assert acme.client("manager").get("/api/v1/audit/seals/").status_code == 403


class TestTrees:
    @pytest.mark.django_db(transaction=False)
    @pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 7, 8, 9, 33])
    def test_prove_each_leaf(self, count: int) -> None:
        leaves = [proofs.leaf_of(bytes([number]), b"salt", b"") for number in range(count)]
        root = proofs.root_of(leaves)
        for place, leaf in enumerate(leaves):
            assert proofs.follow(leaf, proofs.path_of(leaves, place)) == root
            assert proofs.follow(proofs.leaf_of(b"x", b"", b""), proofs.path_of(leaves, place)) != root
