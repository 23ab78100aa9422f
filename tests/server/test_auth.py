from __future__ import annotations

from pathlib import Path

import pytest

from modelsync import settings
from modelsync.api.app import create_app
from modelsync.errors import Forbidden, Unauthenticated
from modelsync.server.auth import REREAD, Authorizer, Scope
from modelsync.settings import Access, Secret
from tests.api.serving import JSON, a_service, body, is_problem

TOKENS = {
    "MODELSYNC_PREDICT_TOKENS": "p1, p2",
    "MODELSYNC_TRAIN_TOKENS": "t1",
    "MODELSYNC_ADMIN_TOKENS": "a1",
}
SCOPES: tuple[Scope, ...] = ("predict", "train", "admin")


@pytest.mark.parametrize(("token", "may"), [("p1", 1), ("p2", 1), ("t1", 2), ("a1", 3)])
def test_a_wider_scope_holds_the_narrower_ones(token: str, may: int) -> None:
    """predict < train < admin; several tokens of one scope are all good."""
    authorizer = Authorizer(settings.load(TOKENS).access)
    for number, scope in enumerate(SCOPES):
        if number < may:
            authorizer.require(scope, f"Bearer {token}")
        else:
            with pytest.raises(Forbidden, match="MODELSYNC_"):
                authorizer.require(scope, f"Bearer {token}")


@pytest.mark.parametrize(
    "sent",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "Basic cDE6",
        "Bearer p",
        "Bearer p1,",
        "Bearer p1, p2",
        "p1",
        "Bearer é",
        "Bearer \U0001f511",
        "Bearer P1",
    ],
)
def test_no_token_or_an_unknown_one_is_unauthenticated(sent: str | None) -> None:
    """Whatever characters it holds."""
    with pytest.raises(Unauthenticated):
        Authorizer(settings.load(TOKENS).access).require("predict", sent)


@pytest.mark.parametrize("sent", ["bearer p1", "BEARER  p1 ", "Bearer p2"])
def test_the_scheme_is_read_without_case(sent: str) -> None:
    """RFC 9110 section 11.1."""
    Authorizer(settings.load(TOKENS).access).require("predict", sent)


def test_a_token_may_hold_any_character() -> None:
    """A header's bytes are compared with the token's UTF-8 bytes."""
    authorizer = Authorizer(Access(admin_tokens=Secret("schlüssel")))
    authorizer.require("admin", "Bearer " + "schlüssel".encode().decode("latin-1"))


def test_without_tokens_anybody_predicts_and_nobody_does_more() -> None:
    """The refusal names the settings to set."""
    authorizer = Authorizer(settings.load({}).access)
    authorizer.require("predict", None)
    authorizer.require("predict", "Bearer whatever")
    for scope, setting in (
        ("train", "MODELSYNC_TRAIN_TOKENS or MODELSYNC_ADMIN_TOKENS"),
        ("admin", "MODELSYNC_ADMIN"),
    ):
        with pytest.raises(Forbidden, match=setting):
            authorizer.require(scope, "Bearer x")  # type: ignore[arg-type]


def test_an_admin_token_alone_leaves_predicting_open() -> None:
    """Only predict tokens close it."""
    authorizer = Authorizer(settings.load({"MODELSYNC_ADMIN_TOKENS": "a1"}).access)
    authorizer.require("predict", None)
    authorizer.require("train", "Bearer a1")
    with pytest.raises(Unauthenticated):
        authorizer.require("admin", "Bearer wrong")


def test_tokens_rotate_with_their_file(tmp_path: Path) -> None:
    """The file is read again after a second; a missing or an empty one shuts, it never opens."""
    file = tmp_path / "tokens"
    file.write_text("old\n")
    now = [0.0]
    authorizer = Authorizer(Access(predict_tokens=Secret(file=file)), clock=lambda: now[0])
    authorizer.require("predict", "Bearer old")
    for content, good in (
        ("old,new", "new"),
        ("new", "new"),
        ("", None),
        (None, None),
        ("last", "last"),
    ):
        file.unlink(missing_ok=True) if content is None else file.write_text(content)
        now[0] += REREAD
        for token in ("old", "new", "last", ""):
            if token == good or (token == "old" and content == "old,new"):
                authorizer.require("predict", f"Bearer {token}")
            else:
                with pytest.raises(Unauthenticated):
                    authorizer.require("predict", f"Bearer {token}")


def test_files_are_read_once_a_second_at_most(tmp_path: Path) -> None:
    """A request costs no file access."""
    file = tmp_path / "tokens"
    file.write_text("old")
    now = [0.0]
    authorizer = Authorizer(Access(predict_tokens=Secret(file=file)), clock=lambda: now[0])
    file.write_text("new")
    now[0] += REREAD / 2
    authorizer.require("predict", "Bearer old")


PROTECTED = ("", "/", "/usage", "/openapi.json", "/sync", "/Add", "/Nope", "/Add/predict?a=1")
OPEN = ("/livez", "/readyz", "/metrics", "/models/docs", "/models/static/site.css")


def test_predict_tokens_close_everything_that_tells_of_models(tmp_path: Path) -> None:
    """Probes, metrics and the docs page's own files stay open; an unknown model is not told from a
    known one.
    """
    client = create_app(a_service(tmp_path, env=TOKENS)).test_client()
    for path in PROTECTED:
        answer = client.get(f"/models{path}")
        is_problem(answer, 401)
        assert answer.headers["WWW-Authenticate"] == "Bearer"
    for path in ("/models/Add", "/models/all", "/models/Nope"):
        is_problem(client.post(path, data=body(a=1), headers=JSON), 401)
    for path in OPEN:
        assert client.get(path).status_code == 200, path
    for token in ("p1", "p2", "t1", "a1"):
        headers = {"Authorization": f"Bearer {token}", **JSON}
        assert client.post("/models/Add", data=body(a=1), headers=headers).json == {"sum": 3}
        assert client.get("/models/", headers=headers).status_code == 200


def test_no_answer_holds_a_token(tmp_path: Path) -> None:
    """Neither the wrong one that was sent nor those that are right."""
    client = create_app(
        a_service(tmp_path, env={**TOKENS, "MODELSYNC_ADMIN_TOKENS": "top-secret-token"})
    ).test_client()
    for token in ("wrong-token", "top-secret-token"):
        for path in (
            "/models/",
            "/models/sync",
            "/models/Add",
            "/metrics",
            "/models/openapi.json",
            "/models/usage",
        ):
            answer = client.get(path, headers={"Authorization": f"Bearer {token}"})
            assert "secret-token" not in answer.text
            assert "wrong-token" not in answer.text
