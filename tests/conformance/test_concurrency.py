"""Many at once: duplicates make one object, lost updates are refused, a deadlock is nobody's error, and a right that is
taken is gone with the commit that takes it. Really committed, each request on a connection of its own."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import pytest
from django.db import connection, connections
from django.utils import timezone

from core.changes import Rows
from core.identity.models import Person, Role
from core.identity.operations import deactivate_users
from core.kernel.transactions import retried, unit_of_work
from core.rest import idempotency
from core.rest.authentication import BearerAuthentication
from core.tenancy.context import actor_context
from crm.models import Deal, DealStageHistory, Pipeline, PipelineStage
from crm.operations import move_deal, reopen_deal, win_deal
from tests.factories.crm import make_deal
from tests.worlds import ApiClient, World, make_world

ROLES = "/api/v1/roles/"


@pytest.fixture
def firm(transactional_db: None) -> World:
    return make_world("acme")


@pytest.fixture
def at_once() -> Callable[..., list[Any]]:
    """A function that calls another for every argument, all started together, each in a thread of its own."""

    def run(work: Callable[[Any], Any], arguments: list[Any]) -> list[Any]:
        gate = threading.Barrier(len(arguments))

        def one(argument: Any) -> Any:
            try:
                gate.wait(timeout=30)
                return work(argument)
            finally:
                connections.close_all()

        with ThreadPoolExecutor(len(arguments)) as pool:
            return list(pool.map(one, arguments))

    return run


def roles_named(world: World, prefix: str) -> int:
    with world.acting():
        return int(Role.objects.filter(name__startswith=prefix).count())


def send_duplicates(firm: World, at_once: Callable[..., list[Any]], keys: int, copies: int) -> None:
    token = firm.token()

    def post(number: int) -> Any:
        while True:
            answer = ApiClient(token).post(
                ROLES, {"name": f"role {number}"}, HTTP_IDEMPOTENCY_KEY=f"key {number}"
            )
            if answer.status_code != 409:
                return number, answer.status_code, answer.content, answer.headers.get("Location")

    for number in range(keys):
        answers = at_once(post, [number] * copies)
        assert len({answer[1:] for answer in answers}) == 1, {answer[1:] for answer in answers}
        assert answers[0][1] == 201
    assert roles_named(firm, "role ") == keys


class TestFirstPipelines:
    def test_at_once_are_all_made_and_one_is_the_default(
        self, firm: World, at_once: Callable[..., list[Any]]
    ) -> None:
        with firm.acting():
            PipelineStage.objects.all().delete()
            Pipeline.objects.all().delete()
        token = firm.token()
        answers = at_once(
            lambda number: ApiClient(token).post("/api/v1/pipelines/", {"name": f"pipeline {number}"}),
            list(range(6)),
        )
        assert [answer.status_code for answer in answers] == [201] * 6
        assert sum(answer.json()["is_default"] for answer in answers) == 1


class TestDuplicates:
    def test_make_one_object_and_get_one_answer(self, firm: World, at_once: Callable[..., list[Any]]) -> None:
        send_duplicates(firm, at_once, keys=3, copies=20)

    @pytest.mark.long
    def test_make_two_hundred_objects_of_four_thousand(
        self, firm: World, at_once: Callable[..., list[Any]]
    ) -> None:
        send_duplicates(firm, at_once, keys=200, copies=20)

    def test_are_seen_when_keys_are_ignored(
        self, firm: World, at_once: Callable[..., list[Any]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(idempotency, "once", lambda request, actor, body, now, work: work())
        with pytest.raises(AssertionError):
            send_duplicates(firm, at_once, keys=1, copies=5)


def change_with_one_etag(
    firm: World, at_once: Callable[..., list[Any]], copies: int, headers: bool = True
) -> Counter[int]:
    token = firm.token()
    made = ApiClient(token).post(ROLES, {"name": "shared", "permissions": ["read"]}).json()

    def patch(number: int) -> int:
        sent = {"HTTP_IF_MATCH": '"1"'} if headers else {}
        answer = ApiClient(token).patch(f"{ROLES}{made['id']}/", {"name": f"shared {number}"}, **sent)
        return int(answer.status_code)

    return Counter(at_once(patch, list(range(copies))))


class TestLostUpdates:
    def test_do_not_happen_to_fifty_with_one_etag(
        self, firm: World, at_once: Callable[..., list[Any]]
    ) -> None:
        assert change_with_one_etag(firm, at_once, 50) == {200: 1, 412: 49}

    def test_would_be_seen_without_the_etag(self, firm: World, at_once: Callable[..., list[Any]]) -> None:
        assert change_with_one_etag(firm, at_once, 5, headers=False) == {200: 5}


def use_while_taken(
    firm: World, at_once: Callable[..., list[Any]], threads: int, each: int
) -> list[tuple[bool, int]]:
    """Statuses of requests, and whether each began after the right was taken."""
    token, taken = firm.token("sales"), threading.Event()
    assert ApiClient(token).get("/api/v1/auth/me/").status_code == 200

    def use(number: int) -> list[tuple[bool, int]]:
        if number == 0:
            with firm.acting() as actor:
                rows = Rows.of(Person, [{"id": firm.users["sales"]}])
                deactivate_users(actor=actor, rows=rows, now=timezone.now()).raise_if_refused()
            taken.set()
            return []
        answers: list[tuple[bool, int]] = []
        while len(answers) < each or not answers[-1][0]:
            was_taken = taken.is_set()
            answers.append((was_taken, ApiClient(token).get("/api/v1/auth/me/").status_code))
        return answers

    return [answer for some in at_once(use, list(range(threads + 1))) for answer in some]


class TestTakenRights:
    """No request that begins after the commit succeeds, whatever races with it."""

    @staticmethod
    def check(answers: list[tuple[bool, int]]) -> None:
        assert {status for was_taken, status in answers if was_taken} == {401}
        assert {status for _, status in answers} <= {200, 401}

    def test_are_gone_with_the_commit(self, firm: World, at_once: Callable[..., list[Any]]) -> None:
        self.check(use_while_taken(firm, at_once, threads=6, each=15))

    @pytest.mark.long
    def test_are_gone_for_a_thousand_requests(self, firm: World, at_once: Callable[..., list[Any]]) -> None:
        self.check(use_while_taken(firm, at_once, threads=10, each=100))

    def test_are_seen_to_linger_in_a_cache(
        self, firm: World, at_once: Callable[..., list[Any]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        kept: dict[str, Any] = {}
        find = BearerAuthentication.find_actor

        def cached(token: str, *others: Any) -> Any:
            if token not in kept:
                kept[token] = find(token, *others)
            return kept[token]

        monkeypatch.setattr(BearerAuthentication, "find_actor", staticmethod(cached))
        with pytest.raises(AssertionError):
            self.check(use_while_taken(firm, at_once, threads=2, each=5))


class TestDeadlocks:
    def lock_two_each(
        self, firm: World, at_once: Callable[..., list[Any]], again: Callable[..., Any]
    ) -> Counter[str]:
        """Each work changes both records, half of them in the opposite order."""
        actor = firm.actor()
        with firm.acting():
            pair = list(Role.objects.order_by("pk").values_list("pk", flat=True)[:2])
        meet = threading.Barrier(2)

        def work(number: int) -> str:
            tries = Counter[str]()

            def change() -> None:
                tries["tried"] += 1
                for place, role in enumerate(pair if number % 2 else reversed(pair)):
                    with connection.cursor() as cursor:
                        cursor.execute("UPDATE core_role SET version = version + 1 WHERE id = %s", [role])
                    if place == 0 and tries["tried"] == 1:
                        meet.wait(timeout=10)

            with actor_context(actor, source="test"):
                again(change)
            return "retried" if tries["tried"] > 1 else "once"

        return Counter(at_once(work, [0, 1]))

    def test_are_tried_again_and_nobody_hears_of_them(
        self, firm: World, at_once: Callable[..., list[Any]]
    ) -> None:
        assert self.lock_two_each(firm, at_once, retried) == {"once": 1, "retried": 1}

    def test_would_surface_if_they_were_not(self, firm: World, at_once: Callable[..., list[Any]]) -> None:
        def once(work: Callable[[], None]) -> None:
            with unit_of_work():
                work()

        with pytest.raises(Exception, match="deadlock"):
            self.lock_two_each(firm, at_once, once)


class TestStageHistory:
    """Moves of one deal that wait for each other."""

    @staticmethod
    def _deal(firm: World) -> tuple[Any, dict[str, Any]]:
        with firm.acting() as actor:
            deal = make_deal(actor)
            return deal.pk, dict(deal.pipeline.stages.values_list("code", "id"))

    def test_is_a_chain(self, firm: World, at_once: Callable[..., list[Any]]) -> None:
        deal_id, stages = self._deal(firm)

        def move(code: str) -> None:
            with firm.acting() as actor:
                move_deal(actor=actor, deal_id=deal_id, stage_id=stages[code], now=timezone.now())

        at_once(move, ["qualification", "proposal", "negotiation"] * 3)
        with firm.acting():
            history = list(DealStageHistory.objects.filter(deal_id=deal_id).order_by("changed_at", "id"))
        assert len(history) > 2
        for earlier, later in pairwise(history):
            assert later.from_stage_id == earlier.to_stage_id
            assert later.duration_seconds >= 0

    def test_of_whoever_held_the_lock_decides_where_a_deal_reopens(self, firm: World) -> None:
        deal_id, stages = self._deal(firm)

        def reopen() -> None:
            try:
                with firm.acting() as actor:
                    reopen_deal(actor=actor, deal_id=deal_id, now=timezone.now())
            finally:
                connections.close_all()

        with firm.acting() as actor:
            move_deal(actor=actor, deal_id=deal_id, stage_id=stages["proposal"], now=timezone.now())
            win_deal(actor=actor, deal_id=deal_id, now=timezone.now())
            waiting = threading.Thread(target=reopen)
            waiting.start()
            while not self._is_somebody_waiting():
                time.sleep(0.05)
        waiting.join(30)
        with firm.acting():
            assert Deal.objects.get(pk=deal_id).stage_id == stages["proposal"]

    @staticmethod
    def _is_somebody_waiting() -> bool:
        [(count,)] = connection.fetch_prepared("SELECT count(*) FROM pg_locks WHERE NOT granted")  # type: ignore[attr-defined]
        return bool(count)
