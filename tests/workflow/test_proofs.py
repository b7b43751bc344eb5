"""What must not happen: a second effect after a crash, a template that runs, a call into our own network."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from core import outbound
from core.outbound import AddressRefused, call, is_public
from tests.core.jobs.conftest import ROOT, child_environment
from tests.workflow.conftest import get, lead, workflow
from tests.workflow.test_runs import note, runs, tag
from tests.worlds import World
from workflow import templates
from workflow.action_types import webhooks
from workflow.models import WorkflowActionRun

Settle = Callable[..., int]
HOSTILE = (
    "{{ record.email }}",
    "{{ record.__class__.__mro__ }}",
    "{% raw %}{{ 7*7 }}{% endraw %}",
    "${7*7} #{7*7} <%= 7*7 %>",
    "{0.__class__}",
    "%(password)s",
    "{{ steps.a1.id }}}}{{",
    "'; DROP TABLE crm_lead; --",
    "<script>alert(1)</script>",
    "\\u007b\\u007b record.email \\u007d\\u007d",
)
PRIVATE = (
    "https://127.0.0.1/",
    "https://localhost/",
    "https://[::1]/",
    "https://[::ffff:127.0.0.1]/",
    "https://[64:ff9b::7f00:1]/",
    "https://[fd00::1]/",
    "https://[fe80::1]/",
    "https://0.0.0.0/",
    "https://0/",
    "https://2130706433/",
    "https://0x7f000001/",
    "https://017700000001/",
    "https://127.1/",
    "https://10.0.0.5/",
    "https://172.16.3.4/",
    "https://192.168.1.1/",
    "https://169.254.169.254/latest/meta-data/",
    "https://100.64.0.1/",
    "https://224.0.0.1/",
    "https://255.255.255.255/",
    "https://user:pass@example.com/",
    "https://example.com:6379/",
    "https://example.com:5432/",
    "http://metadata.google.internal/",
    "file:///etc/passwd",
    "gopher://127.0.0.1/",
    "https://exa\nmple.com/",
    "https://example.com\\@127.0.0.1/",
)


class TestTemplates:
    @pytest.mark.parametrize("text", HOSTILE)
    def test_show_hostile_values_as_they_are(self, text: str) -> None:
        said = templates.fill("Dear {{ record.name }}!", lambda path: text)
        assert said == f"Dear {text}!"
        assert "<script" not in templates.fill("{{ record.name }}", lambda path: text, as_html=True)

    @pytest.mark.parametrize(
        "text",
        [
            "{{ record.__class__ }}{{ 7*7 }}",
            "{{ config }}",
            "{{ record['email'] }}",
            "{{ record.email() }}",
            "{{ ''.join }}",
            "{{ settings.SECRET_KEY }}",
            "{{ record.email | safe }}",
        ],
    )
    def test_know_nothing_but_paths(self, text: str) -> None:
        with pytest.raises(templates.BadTemplate):
            list(templates.paths_in(text))

    @pytest.mark.django_db(transaction=True)
    def test_never_read_values_as_templates(self, acme: World, settle: Settle) -> None:
        client = acme.client()
        workflow(
            client, triggers=[{"event_type": "lead.created"}], actions=[note("{{ record.company_name }}!")]
        )
        made = lead(client, company_name="{{ record.email }}", email="secret@example.com")
        settle()
        [said] = get(client, f"notes/?lead={made['id']}")["results"]
        assert said["body"] == "{{ record.email }}!"


class TestCallsOutside:
    @pytest.mark.parametrize("url", PRIVATE)
    def test_never_reach_our_own_network(self, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        connected: list[Any] = []

        def connect(*args: Any, **kwargs: Any) -> Any:
            connected.append(args)
            raise OSError

        monkeypatch.setattr("socket.create_connection", connect)
        inner = {"metadata.google.internal": ["169.254.169.254"], "example.com": ["93.184.215.14"]}

        def resolver(host: str, port: int) -> list[str]:
            return inner.get(host) or outbound.resolve(host, port)

        with pytest.raises((AddressRefused, outbound.CallFailed)):
            call("POST", url, headers={}, content=b"{}", resolver=resolver)
        assert connected == []

    def test_go_to_no_name_that_has_one_address_of_ours(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("socket.create_connection", lambda *args, **kwargs: pytest.fail("connected"))
        answers = [["93.184.215.14", "127.0.0.1"], ["10.0.0.1"], []]
        for addresses in answers:
            with pytest.raises((AddressRefused, outbound.CallFailed)):
                call("POST", "https://a.test/", headers={}, content=b"", resolver=partial(_answer, addresses))

    def test_tell_public_addresses_from_others(self) -> None:
        assert is_public("93.184.215.14")
        assert is_public("2606:2800:21f:cb07:6820:80da:af6b:8b2c")
        assert not is_public("::ffff:10.0.0.1")
        assert not is_public("2002:7f00:1::")

    def test_follow_no_redirect(self, monkeypatch: pytest.MonkeyPatch) -> None:
        answer = outbound.Called(302, b"", {"location": "http://169.254.169.254/"})
        asked = []

        def redirecting(method: str, url: str, **kwargs: Any) -> outbound.Called:
            asked.append(url)
            return answer

        monkeypatch.setattr(webhooks, "call", redirecting)
        step = _step()
        with pytest.raises(outbound.CallFailed, match="302"):
            webhooks._call(step, {"url": "https://example.com/"})
        assert asked == ["https://example.com/"]

    def test_are_signed_after_standard_webhooks(self) -> None:
        # The example of the specification's own libraries.
        secret, body = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", b'{"test": 2432232314}'
        said = webhooks.signature(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body)
        assert said == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def _answer(addresses: list[str], host: str, port: int) -> list[str]:
    return addresses


def _step() -> Any:
    from django.utils import timezone

    from core.kernel.ids import uuid7
    from core.tenancy.actors import system_actor
    from workflow.steps import Step

    company = uuid7()
    return Step(system_actor(company), timezone.now(), "k", uuid7(), "W", uuid7(), None, "", None)


@pytest.mark.django_db(transaction=True)
class TestCallsOfRuns:
    def test_come_again_under_the_same_key(
        self, acme: World, settle: Settle, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from datetime import timedelta

        from core.jobs.models import Job
        from workflow.models import WorkflowRun

        client = acme.client()
        keys, bodies = [], []

        def failing_once(method: str, url: str, **kwargs: Any) -> outbound.Called:
            keys.append(kwargs["headers"]["webhook-id"])
            bodies.append(kwargs["content"])
            if len(keys) == 1:
                raise outbound.CallFailed("The other side did not answer in time.")
            return outbound.Called(200, b"ok", {})

        monkeypatch.setattr(webhooks, "call", failing_once)
        payload = {"url": "https://example.com/", "body": {"name": "{{ record.last_name }}"}}
        workflow(
            client,
            triggers=[{"event_type": "lead.created"}],
            actions=[{"action_type": "call_webhook", "payload": payload}, tag("called")],
        )
        made = lead(client)
        settle()
        assert runs(acme)[0].status == "waiting"
        with acme.acting():
            past = runs(acme)[0].created_at - timedelta(minutes=1)
            WorkflowRun.objects.update(resume_at=past)
            Job.objects.filter(kind="workflow.advance", state="open").update(due_at=past)
        settle()
        assert runs(acme)[0].status == "succeeded", runs(acme)[0].error
        assert (len(keys), len(set(keys)), len(set(bodies))) == (2, 1, 1)
        assert get(client, f"leads/{made['id']}/")["tags"] == ["called"]


CHILD = """
import os
import django
django.setup()
from core.changes import stream
from core.jobs.models import Job
from core.jobs.running import run_job
from core.kernel.transactions import unit_of_work
from core.tenancy.context import system_context
from django.utils import timezone
from datetime import timedelta
stream.run_consumer("workflow.triggers")
later = timezone.now() + timedelta(minutes=5 * int(os.environ["ROUND"]))
with system_context("what is due"), unit_of_work():
    jobs = list(Job.objects.filter(state="open", kind="workflow.advance").values_list("pk", flat=True))
for job in jobs:
    run_job(job, now=later)
"""
POINTS = (
    "workflow.step_begins",
    "workflow.step_done",
    "workflow.step_committed",
    "job.claimed",
    "job.before_commit",
    "stream.before_offset",
    "stream.after_offset",
)


@pytest.mark.django_db(transaction=True)
class TestCrashes:
    @pytest.fixture(autouse=True)
    def no_worker(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Only the processes that the test starts work."""
        for place in ("core.kernel.doorbell.ring", "core.changes.waking.ring"):
            monkeypatch.setattr(place, lambda *_: True)

    @pytest.mark.parametrize("point", POINTS)
    def test_leave_every_effect_once(self, acme: World, point: str, tmp_path: Path) -> None:
        """The worker is killed at the point, once at its first pass and once at its second, and then left alone."""
        client = acme.client()
        workflow(
            client,
            triggers=[{"event_type": "lead.created"}],
            actions=[
                note("one"),
                note("two"),
                {"action_type": "create_task", "payload": {"subject": "three"}},
            ],
        )
        lead(client)
        plan = tmp_path / "plan"
        plan.write_text(f"{point} 1\n{point} 1\n")
        for number in range(1, 7):
            _work(plan, number)
        hits = Path(f"{plan}.hits")
        assert hits.read_text().split() == [point] * 2
        [run] = runs(acme)
        assert run.status == "succeeded", (run.status, run.error)
        assert sorted(item["body"] for item in get(client, "notes/")["results"]) == ["one", "two"]
        assert len(get(client, "tasks/")["results"]) == 1
        with acme.acting():
            assert WorkflowActionRun.objects.count() == 3


def _work(plan: Path, number: int) -> None:
    """What a worker does some minutes later than the one before, whose leases have ended by then."""
    environment = child_environment(CRM_FAULT_PLAN=str(plan), ROUND=str(number))
    done = subprocess.run(
        [sys.executable, "-c", CHILD], env=environment, cwd=ROOT, timeout=120, capture_output=True, text=True
    )
    assert done.returncode in (0, -9), done.stderr
