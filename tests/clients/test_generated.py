"""Clients that are generated from the document call a real service."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from scripts import clients
from tests.clients.conftest import TOKEN
from tests.fixtures.service import Service
from tests.waiting import patient

pytestmark = pytest.mark.clients

PYTHON = """
import sys
from modelsync_client import AuthenticatedClient
from modelsync_client.api.models import predict_price, predict_untyped, status_price
from modelsync_client.models import (
    PriceRequest, PriceRequestVariables, PriceRow, UntypedRequest, UntypedRequestVariables,
)

with AuthenticatedClient(sys.argv[1], token=sys.argv[2]) as client:
    body = PriceRequest(PriceRequestVariables(row=PriceRow(rooms=3)))
    answer = predict_price.sync(client=client, body=body)
    assert (answer.price, answer.currency, answer.note) == (4.5, "EUR", None), answer
    body = PriceRequest(PriceRequestVariables(row=PriceRow(rooms=-1)))
    refused = predict_price.sync_detailed(client=client, body=body)
    assert (refused.status_code, refused.parsed.detail) == (418, "there is no such flat"), refused
    answer = predict_untyped.sync(
        client=client, body=UntypedRequest(UntypedRequestVariables(a=4))
    )
    assert answer.b == [2.0], answer
    assert status_price.sync(client=client).to_dict()["name"] == "Price"
print("called")
"""

TYPESCRIPT = """
import createClient from "openapi-fetch";
import type { paths } from "./api";

declare const process: { argv: string[] };

const [, , baseUrl, token] = process.argv;
const client = createClient<paths>({ baseUrl, headers: { Authorization: `Bearer ${token}` } });

// `kind`, `factor` and `seed` have defaults.
const body = { variables: { row: { rooms: 3 } } };
const { data, error } = await client.POST("/models/Price", { body });
if (error) throw new Error(error.detail);
const price: number = data.price;
const note: string | null = data.note;
if (price !== 4.5 || data.currency !== "EUR" || note !== null) throw new Error("wrong answer");

const refused = await client.POST("/models/Price", { body: { variables: { row: { rooms: -1 } } } });
if (refused.error?.detail !== "there is no such flat") throw new Error("not refused");

const untyped = await client.POST("/models/Untyped", { body: { variables: { a: 4 } } });
const halves: (number | null)[] | undefined = untyped.data?.b;
if (halves?.[0] !== 2) throw new Error("wrong answer");
console.log("called");
"""

WRONG = """
import createClient from "openapi-fetch";
import type { paths } from "./api";

const client = createClient<paths>({ baseUrl: "" });
await client.POST("/models/Price", { body: { variables: { row: { rooms: "three" } } } });
const { data } = await client.POST("/models/Price", { body: { variables: { row: { rooms: 3 } } } });
const text: string = data!.price;
"""


def run(*command: str, cwd: Path, **env: str) -> str:
    """The output of a command that succeeds."""
    done = subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=patient(200),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_a_client_in_python(service: Service, document: Path, tmp_path: Path) -> None:
    """openapi-python-client makes a package of all operations, which pip installs and which calls
    models with typed requests, answers and refusals.
    """
    said = run(
        clients.command("openapi-python-client"),
        *("generate", "--meta", "setup", "--output-path", "client", "--path", str(document)),
        cwd=tmp_path,
        PATH=f"{Path(clients.command('python')).parent}{os.pathsep}{os.environ['PATH']}",
    )
    assert "WARNING" not in said, said
    assert "Unable" not in said, said
    uv = (sys.executable, "-m", "scripts.uv", "pip", "install", "--quiet", "--no-deps")
    installed = str(tmp_path / "site-packages")
    run(
        *(*uv, "--no-build-isolation", "--python", clients.command("python")),
        *("--target", installed, str(tmp_path / "client")),
        cwd=Path(__file__).parents[2],
    )
    (tmp_path / "program.py").write_text(PYTHON)
    program = (clients.command("python"), "program.py", service.url, TOKEN)
    assert "called" in run(*program, cwd=tmp_path, PYTHONPATH=installed)


def test_a_client_in_typescript(service: Service, document: Path, tmp_path: Path) -> None:
    """openapi-typescript makes types with which a program is checked, and a wrong one refused."""
    modules = clients.modules()
    (tmp_path / "node_modules").symlink_to(modules)
    (tmp_path / "package.json").write_text('{"type": "module"}')
    (tmp_path / "program.ts").write_text(TYPESCRIPT)
    (tmp_path / "wrong.ts").write_text(WRONG)
    shutil.copy(document, tmp_path / "openapi.json")
    run(
        "node",
        "node_modules/.bin/openapi-typescript",
        "openapi.json",
        "-o",
        "api.d.ts",
        cwd=tmp_path,
    )
    check = (
        *("node", "node_modules/.bin/tsc", "--strict", "--target", "es2022", "--module", "es2022"),
        *("--moduleResolution", "bundler", "--lib", "es2022,dom", "--skipLibCheck", "false"),
    )
    run(*check, "program.ts", cwd=tmp_path)
    refused = subprocess.run(
        [*check, "--noEmit", "wrong.ts"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=patient(200),
    )
    assert "Type 'string' is not assignable to type 'number'" in refused.stdout
    assert "Type 'number' is not assignable to type 'string'" in refused.stdout
    assert "called" in run("node", "program.js", service.url, TOKEN, cwd=tmp_path)
