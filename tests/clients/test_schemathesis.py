"""The service answers as its document says, whatever is sent: schemathesis finds nothing."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from scripts import clients
from tests.clients.conftest import TOKEN
from tests.fixtures.service import Service
from tests.waiting import patient

pytestmark = pytest.mark.clients

HERE = Path(__file__).parent
EXAMPLES = 5
"""Random requests for each operation, beside those of each limit and each type."""

LINE = 1000
"""Characters of a line that a failure shows: it holds random bodies."""


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("token", [TOKEN, ""], ids=["with a token", "without"])
def test_the_service_answers_as_its_document_says(
    service: Service, document: Path, token: str, tmp_path: Path
) -> None:
    """No status code, media type, header or body that the document lacks; no 5xx; nothing that it
    forbids is taken. Without a token everything that needs one is refused.
    """
    header = ["--header", f"Authorization: Bearer {token}"] if token else []
    for name in ("hooks.py", "schemathesis.toml"):  # it writes where it runs
        shutil.copy(HERE / name, tmp_path)
    done = subprocess.run(
        [
            clients.command("schemathesis"),
            *("run", str(document), "--url", service.url, *header),
            *("--phases", "examples,coverage,fuzzing" if token else "examples,coverage"),
            *("--max-examples", str(EXAMPLES), "--seed", "1", "--warnings", "off"),
            "--no-color",
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=patient(1500),
    )
    told = "\n".join(line[:LINE] for line in done.stdout.splitlines())
    assert done.returncode == 0, told + done.stderr
    assert "No issues found" in done.stdout
