"""Clients that common tools generate from the document do what the document says."""

from __future__ import annotations

import importlib
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from core.rest.schema.views import openapi_document
from tests.worlds import PASSWORD, World

# What the tool cannot say of an answer without a type of its own; the endpoints are there.
LEFT_OUT = ("/api/v1/files/{id}/download/", "/api/v1/files/d/{token}/")


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("document") / "openapi.json"
    path.write_text(json.dumps(openapi_document()))
    return path


class Python:
    """The modules of a package that openapi-python-client made."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __getattr__(self, path: str) -> ModuleType:
        return importlib.import_module(f"{self.name}.{path.replace('__', '.')}")


@pytest.fixture(scope="module")
def made(document: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Python]:
    folder = tmp_path_factory.mktemp("generated")
    program = Path(sys.executable).parent / "openapi-python-client"
    target = folder / "atrium_client"
    command = [program, "generate", "--path", document, "--meta", "none", "--output-path", target]
    # Without a formatter on the way the files stay as they were made.
    result = subprocess.run(command, capture_output=True, text=True, env={"PATH": ""}, check=True)
    warnings = [line for line in result.stdout.splitlines() if line.startswith("WARNING")]
    assert [line for line in warnings if not any(path in line for path in LEFT_OUT)] == [], result.stdout
    sys.path.insert(0, str(folder))
    yield Python("atrium_client")
    sys.path.remove(str(folder))
    for name in [name for name in sys.modules if name.split(".")[0] == "atrium_client"]:
        del sys.modules[name]


@pytest.mark.django_db(transaction=True)
class TestOfPython:
    def test_signs_in_lists_filters_writes_and_uploads(
        self, made: Python, acme: World, live_server: Any
    ) -> None:
        models: Any = made.models
        client_module: Any = made.client
        anonymous = client_module.Client(base_url=live_server.url)
        login: Any = made.api__auth__auth_login_post
        credentials = models.LoginInput(email="admin@acme.test", password=PASSWORD)
        tokens = login.sync(client=anonymous, body=credentials)
        signed_in = client_module.AuthenticatedClient(base_url=live_server.url, token=tokens.access)
        deals: Any = made.api__deals__deals_create
        body = models.DealInput(name="Rollout", close_date=date(2026, 12, 24), amount="1250.00")
        deal = deals.sync(client=signed_in, body=body)

        change: Any = made.api__deals__deals_change
        changed = change.sync(deal.id, client=signed_in, body=models.DealPatch(name="Rollout in Spain"))
        assert (changed.name, changed.amount, changed.deal_type) == (
            "Rollout in Spain",
            "1250.00",
            deal.deal_type,
        )

        bulk: Any = made.api__deals__deals_bulk_post
        operations = [
            models.DealBulkCreate(op="create", name=name, close_date=body.close_date) for name in ("A", "B")
        ]
        result = bulk.sync(client=signed_in, body=models.DealBulk(operations=operations, atomic=True))
        assert (result.succeeded, result.failed) == (2, 0)

        listing: Any = made.api__deals__deals_list
        found = listing.sync(
            client=signed_in,
            filter_=models.DealFilter.from_dict({"amount__gte": "1000"}),
            fields=[models.DealsListFieldsItem.ID, models.DealsListFieldsItem.NAME],
            ordering=[models.DealsListOrderingItem("-amount")],
        )
        assert [one.name for one in found.results] == ["Rollout in Spain"]
        assert set(found.results[0].to_dict()) == {"id", "name"}

        refused = deals.sync(client=signed_in, body=models.DealInput(name="", close_date=body.close_date))
        assert isinstance(refused, models.Problem)
        assert {fault.path for fault in refused.errors} == {"name"}


SCRIPT = """
import createClient from "openapi-fetch";
const client = createClient({ baseUrl: process.env.BASE });
const credentials = { email: process.env.EMAIL, password: process.env.PASSWORD };
const { data: tokens } = await client.POST("/api/v1/auth/login/", { body: credentials });
const headers = { Authorization: `Bearer ${tokens.access}` };
const body = { name: "Rollout", close_date: "2026-12-24", amount: "1250.00" };
const { data: deal } = await client.POST("/api/v1/deals/", { headers, body });
const params = { path: { id: deal.id } };
const { data: changed } = await client.PATCH("/api/v1/deals/{id}/", { headers, params, body: { name: "Spain" } });
const { data: page } = await client.GET("/api/v1/deals/", {
  headers,
  params: { query: { filter: { amount__gte: "1000" }, fields: ["id", "name"], ordering: ["-amount", "name"] } },
});
const { data: bulk } = await client.POST("/api/v1/deals/bulk/", {
  headers,
  body: { atomic: true, operations: [{ op: "create", name: "A", close_date: "2026-12-24" }] },
});
const { error } = await client.POST("/api/v1/deals/", { headers, body: { name: "", close_date: "2026-12-24" } });
console.log(JSON.stringify({ changed, page, bulk, error }));
"""


@pytest.mark.long
@pytest.mark.django_db(transaction=True)
def test_of_typescript_does_the_same(document: Path, acme: World, live_server: Any, tmp_path: Path) -> None:
    npm, node = shutil.which("npm"), shutil.which("node")
    if npm is None or node is None:
        pytest.skip("no Node.js is here")
    (tmp_path / "package.json").write_text('{"type": "module"}')
    packages = ("openapi-typescript@7", "openapi-fetch@0.13", "typescript@5")
    installed = subprocess.run(
        [npm, "install", "--no-audit", *packages], cwd=tmp_path, capture_output=True, text=True
    )
    if installed.returncode:
        pytest.skip(f"the generators cannot be had: {installed.stderr[-200:]}")
    types = [tmp_path / "node_modules/.bin/openapi-typescript", document, "-o", tmp_path / "api.d.ts"]
    subprocess.run(types, cwd=tmp_path, check=True, capture_output=True)
    typed = SCRIPT.replace("createClient({", "createClient<paths>({").replace(
        "console.log", "declare const process: any;//"
    )
    (tmp_path / "typed.ts").write_text(
        'import type { paths } from "./api.d.ts";\ndeclare const process: { env: Record<string, string> };\n'
        + typed.split("declare const process")[0]
    )
    checked = [
        tmp_path / "node_modules/.bin/tsc",
        "--noEmit",
        "--target",
        "es2022",
        "--module",
        "nodenext",
        "typed.ts",
    ]
    answer = subprocess.run(checked, cwd=tmp_path, capture_output=True, text=True)
    # What may be absent is not asked for here, so without `--strict`.
    assert answer.returncode == 0, answer.stdout
    (tmp_path / "client.js").write_text(SCRIPT)
    environment = {"BASE": live_server.url, "EMAIL": "admin@acme.test", "PASSWORD": PASSWORD}
    run = subprocess.run([node, "client.js"], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    seen = json.loads(run.stdout)
    assert (seen["changed"]["name"], seen["changed"]["amount"]) == ("Spain", "1250.00")
    assert [sorted(deal) for deal in seen["page"]["results"]] == [["id", "name"]]
    assert (seen["bulk"]["succeeded"], seen["error"]["errors"][0]["path"]) == (1, "name")
