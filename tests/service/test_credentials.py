"""What a model raises may quote the credentials that it was given: nobody is told them, the log
included.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fixtures.service import serving, write_example, write_model
from tests.service.faulty import Client, model
from tests.waiting import until

URL = "postgresql://svc:s3cret@db.internal/prod password=hunter2"
HIDDEN = "could not connect: postgresql://***@db.internal/prod password=***"
SECRETS = ("s3cret", "hunter2", "t0ken-in-a-file")
RAISE = f"raise RuntimeError('could not connect: {URL}')"
READ = "raise RuntimeError('it says ' + open({file!r}).read().strip())"
VALIDATED = (
    "import pydantic\nclass Wanted(pydantic.BaseModel):\n    a: int\n"
    "    @pydantic.field_validator('a')\n"
    f"    def check(cls, value):\n        raise ValueError('{URL}')\n"
    "class Validates:\n    def transform_predict(self, wanted: Wanted):\n        return {}\n"
)

PREDICTING = {
    "Raises": (model(RAISE), 500),
    "Awaits": (model(RAISE, kind="async def"), 500),
    "Serialises": (model("return {'a': E()}", top=f"class E:\n    def tolist(self): {RAISE}"), 500),
    "Validates": (VALIDATED, 422),
    "Fast": (model(f"if variables: {RAISE}\nreturn {{}}"), 500),
}
"""By name: the code, and the status it is answered with."""


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A service whose models know secrets, one of its own among them, and have nothing better to do
    than tell them.
    """
    folder = tmp_path_factory.mktemp("credentials")
    models, tokens = folder / "models", folder / "tokens"
    tokens.write_text("t0ken-in-a-file\n")
    for name, (code, _) in PREDICTING.items():
        write_model(models, name, code)
    write_example(models / "Fast", {}, {})
    write_model(models, "Db", model(init=RAISE))
    write_example(write_model(models, "Example", model(RAISE)), {})
    write_model(models, "Reads", model(init=READ.format(file=str(tokens))))
    write_model(models, "Asked", model(READ.format(file=str(tokens))))
    with serving(
        folder, models, MODELSYNC_ADMIN_TOKENS_FILE=str(tokens), MODELSYNC_WORKERS="1"
    ) as service:
        client = Client(service)
        yield client
        assert client.leaks(*SECRETS) == []
        told = (
            Path(service.log).read_text() + (service.home / "current" / "release.json").read_text()
        )
        told += (service.home / "current" / "serve_models.py").read_text() + (
            service.home / "status.json"
        ).read_text()
        assert [secret for secret in SECRETS if secret in told] == []


@pytest.mark.parametrize("name", PREDICTING)
def test_what_a_call_raises_is_told_without_credentials(client: Client, name: str) -> None:
    """To the client, and in the log's record of the request, whichever way it was called."""
    status = PREDICTING[name][1]
    for _ in range(3):  # the third one needs no parser
        problem = client.problem(name, status, {"a": 1})
    assert "postgresql://***@db.internal/prod password=***" in problem["detail"]
    [line] = until(
        lambda: client.service.lines(logger="modelsync.access", request_id=problem["request_id"])
    )
    assert line["detail"] == problem["detail"]
    if status == 500:
        assert client.service.lines(level="error", request_id=problem["request_id"], model=name)


@pytest.mark.parametrize("name", ["Db", "Example"])
def test_why_a_model_is_not_loaded_is_told_without_credentials(client: Client, name: str) -> None:
    """Status, 503, /all, page, release and log tell the reason without credentials."""
    assert HIDDEN in client.about(name)["reason"]
    assert HIDDEN in client.problem(name, 503)["detail"]
    assert HIDDEN in client.post("all").json()[name]["detail"]
    assert HIDDEN in client.get("/models/sync").json()["broken"][name]
    assert HIDDEN in client.get("/models/").text
    assert HIDDEN in client.service.release()["models"][name]["fault"]["message"]
    assert HIDDEN in client.service.lines(event="model_broken", model=name)[0]["message"]


def test_the_open_probe_tells_no_reason(client: Client) -> None:
    """Anybody may ask whether the service is ready: models are named, what their code has said is
    not.
    """
    assert client.get("/readyz").json()["not_ready"] == {
        "Db": "failed",
        "Example": "failed",
        "Reads": "failed",
    }
    client.get("/metrics")


def test_the_services_own_secrets_are_hidden(client: Client) -> None:
    """Also where a model has read them from their file: by the check, and by a worker."""
    assert client.about("Reads")["reason"].endswith("it says ***")
    assert client.problem("Asked", 500)["detail"] == "RuntimeError: it says ***"
