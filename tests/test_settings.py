"""What of the environment becomes a setting, and what is refused in words that help."""

from __future__ import annotations

from pathlib import Path

import pytest

from modelsync import settings
from modelsync.errors import SettingsError
from modelsync.settings import Revision

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.mark.parametrize(
    "links",
    [
        {"MODELSYNC_PORT": "tcp://10.96.0.12:80"},
        {"MODELSYNC_SERVICE_HOST": "10.96.0.12", "MODELSYNC_SERVICE_PORT_HTTP": "80"},
        {
            "MODELSYNC_PORT_80_TCP_ADDR": "10.96.0.12",
            "MODELSYNC_PORT_80_TCP": "tcp://10.96.0.12:80",
        },
        {
            "MODELSYNC_CANARY_SERVICE_HOST": "10.96.0.12",
            "MODELSYNC_CANARY_PORT": "tcp://10.96.0.12:80",
        },
    ],
)
def test_service_links_are_told_apart_from_misspelt_settings(links: dict[str, str]) -> None:
    """What Kubernetes writes for a Service named modelsync is refused once, with what to set."""
    with pytest.raises(SettingsError) as error:
        settings.load(links)
    assert str(error.value).count("enableServiceLinks: false") == 1
    assert "is not a setting" not in str(error.value)
    assert "must be" not in str(error.value)


def test_a_misspelt_setting_stays_an_error_beside_service_links() -> None:
    """Both are named, so that one correction is enough."""
    with pytest.raises(
        SettingsError, match=r"enableServiceLinks.*MODELSYNC_PROT is not a setting.*MODELSYNC_PORT"
    ):
        settings.load({"MODELSYNC_SERVICE_HOST": "10.96.0.12", "MODELSYNC_PROT": "1"})


@pytest.mark.parametrize("broken", [(), ("Churn",), ("Churn", "a,b c%\n", "ü")])
def test_a_revision_reads_what_it_writes(broken: tuple[str, ...]) -> None:
    """The annotation that `modelsync rollout` writes is what the pod's setting reads, whatever
    models are called.
    """
    revision = Revision(COMMIT, frozenset(broken))
    assert settings.load({"MODELSYNC_GIT_REVISION": str(revision)}).git.revision == revision
    assert str(Revision(COMMIT)) == COMMIT


@pytest.mark.parametrize(
    "value", ["main", COMMIT[:12], COMMIT.upper(), f"{COMMIT} except", f"{COMMIT} {COMMIT}"]
)
def test_only_a_full_hash_is_a_revision(value: str) -> None:
    """A name that can move, or a hash that may fit two commits, pins nothing; but no pod ends over
    what somebody else wrote into the cluster.
    """
    git = settings.load({"MODELSYNC_GIT_REVISION": value, "MODELSYNC_GIT_PROVEN": value}).git
    assert (git.revision.valid, git.revision.commit, git.proven.valid) == (False, value, False)
    assert Revision(COMMIT).valid
    assert not Revision().valid


def test_the_ref_is_followed_unless_rollouts_decide() -> None:
    """With a pin, or while one is waited for; without a repository there is nothing to pin."""
    repository = {"gitPath": "https://git.example.com/models.git"}
    pinned = {"MODELSYNC_GIT_PINNED": "true"}
    assert settings.load(repository).git.follows
    assert not settings.load(repository | pinned).git.follows
    assert not settings.load(repository | {"MODELSYNC_GIT_REVISION": COMMIT}).git.follows
    assert settings.load(pinned).git.follows


def test_a_revision_is_on_probation_until_it_is_proven() -> None:
    """Without a pin nothing is on probation; with one, until the same commit has become ready
    everywhere.
    """
    other = "f" * 40
    assert not settings.load({"MODELSYNC_GIT_PROVEN": other}).git.on_probation
    assert settings.load({"MODELSYNC_GIT_REVISION": COMMIT}).git.on_probation
    assert settings.load(
        {"MODELSYNC_GIT_REVISION": COMMIT, "MODELSYNC_GIT_PROVEN": other}
    ).git.on_probation
    assert not settings.load(
        {"MODELSYNC_GIT_REVISION": f"{COMMIT} except A", "MODELSYNC_GIT_PROVEN": COMMIT}
    ).git.on_probation


# --- misspelt -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("GITPATH", "gitPath"), ("gitpath", "gitPath"), ("USERGIT", "usergit"),
        ("GitPassword", "gitpassword"),
        ("BASEURL", "baseUrl"), ("modelsync_port", "MODELSYNC_PORT"),
    ],
)  # fmt: skip
def test_a_name_in_another_case_is_refused(given: str, meant: str) -> None:
    """In the environment too: the examples must not be served for a repository that was meant."""
    with pytest.raises(
        SettingsError, match=rf"^{given} is not a setting \(did you mean {meant}\?\)$"
    ):
        settings.load({given: "https://git.example.com/models.git"})


@pytest.mark.parametrize("given", ["PATH", "USER", "GIT_PATH", "BASE_URL", "DATABASE_URL"])
def test_what_others_set_is_left_alone(given: str) -> None:
    """The environment is not ours."""
    assert settings.load({given: "x"}) == settings.load({})


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("gitpath", "gitPath"),
        ("git_path", "gitPath"),
        ("gitpasswd", "gitpassword"),
        ("baseURI", "baseUrl"),
    ],
)
def test_a_near_miss_in_the_file_is_refused(tmp_path: Path, given: str, meant: str) -> None:
    """With its line, and without its value."""
    file = tmp_path / ".env"
    file.write_text(f"# the repository\n\nMODELSYNC_PORT=1\nexport {given}=hunter2\n")
    with pytest.raises(
        SettingsError, match=rf"\.env line 4: {given} is not a setting .did you mean {meant}\?"
    ) as error:
        settings.load_file(file, {})
    assert "hunter2" not in str(error.value)


@pytest.mark.parametrize("line", ["hunter2 without a sign", "gitpassword='hunter2", "=hunter2"])
def test_a_line_that_cannot_be_read_is_refused(tmp_path: Path, line: str) -> None:
    """Ignored it would be found in production; named by its number, because it may be half a
    password.
    """
    file = tmp_path / ".env"
    file.write_text(f"MODELSYNC_PORT=1\n\n# more\n\n\n{line}\nusergit=me\n")
    environ: dict[str, str] = {}
    with pytest.raises(SettingsError, match=r"\.env line 6 is not of the form NAME=value$"):
        settings.load_file(file, environ)
    assert environ == {}


def test_the_file_fills_what_the_environment_leaves_open(tmp_path: Path) -> None:
    """As it is written, ${...} included; what models need is passed on; without a file nothing
    happens.
    """
    file = tmp_path / ".env"
    environ = {"usergit": "environment"}
    settings.load_file(file, environ)
    assert environ == {"usergit": "environment"}
    file.write_text(
        "usergit=file\ngitpassword=first\ngitpassword=a${b}c\nUSER_NAME='x y'\n"
        "DATABASE_URL=postgres://db\n"
    )
    settings.load_file(file, environ)
    assert environ == {
        "usergit": "environment", "gitpassword": "a${b}c", "USER_NAME": "x y",
        "DATABASE_URL": "postgres://db",
    }  # fmt: skip
    file.write_bytes(b"usergit=\xff\n")
    with pytest.raises(SettingsError, match="not UTF-8"):
        settings.load_file(file, environ)


# --- names of existing installations --------------------------------------------------------------

FOLLOWING = {"gitPath": "https://git.example.com/models.git", "usergit": "reader"}


def test_password_is_the_older_name_of_gitpassword(tmp_path: Path) -> None:
    """From the environment and from the file; with `gitPath` alone, else it is somebody else's."""
    assert settings.load({**FOLLOWING, "password": "hunter2"}).git.password.read() == "hunter2"
    both = {**FOLLOWING, "password": "hunter2", "gitpassword": "hunter2"}
    assert settings.load(both).git.password.read() == "hunter2"
    assert not settings.load({"password": "hunter2"}).git.password
    file = tmp_path / ".env"
    file.write_text("gitPath=https://git.example.com/models.git\npassword=hunter2\n")
    environ: dict[str, str] = {}
    settings.load_file(file, environ)
    assert settings.load(environ).git.password.read() == "hunter2"


def test_two_passwords_that_differ_are_refused() -> None:
    with pytest.raises(SettingsError, match="gitpassword and password, its older name, differ"):
        settings.load({**FOLLOWING, "password": "hunter2", "gitpassword": "hunter3"})


def test_a_file_of_the_password_comes_before_the_older_name(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("from-the-file")
    given = {**FOLLOWING, "password": "hunter2", "MODELSYNC_GIT_PASSWORD_FILE": str(file)}
    assert settings.load(given).git.password.read() == "from-the-file"


def test_models_never_see_the_older_name_of_the_password() -> None:
    assert "password" not in settings.child_environment({**FOLLOWING, "password": "hunter2"})
    assert settings.child_environment({"password": "their-own"}) == {"password": "their-own"}


# --- origins --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "origins"),
    [
        ("*", ("*",)),
        ("https://App.example.org", ("https://app.example.org",)),
        (" https://a.example:443 ,http://b:8080,", ("https://a.example", "http://b:8080")),
        ("http://[::1]:3000", ("http://[::1]:3000",)),
    ],
)
def test_origins_are_those_that_browsers_send(given: str, origins: tuple[str, ...]) -> None:
    assert settings.load({"MODELSYNC_CORS_ORIGINS": given}).server.cors_origins == origins


@pytest.mark.parametrize(
    "given", ["*,https://a.example", "a.example", "https://a.example/", "null", "https://*.a.org"]
)
def test_what_no_browser_sends_as_origin_is_refused(given: str) -> None:
    with pytest.raises(SettingsError, match="MODELSYNC_CORS_ORIGINS"):
        settings.load({"MODELSYNC_CORS_ORIGINS": given})


@pytest.mark.parametrize(
    ("given", "takes", "text"),
    [
        ("", {"Churn", "Price", "churn"}, ""),
        (" , ", {"Churn", "Price", "churn"}, ""),
        ("Churn", {"Churn"}, "Churn"),
        (" Price ,Churn,Price", {"Churn", "Price"}, "Churn,Price"),
        ("-Churn", {"Price", "churn"}, "-Churn"),
        ("-churn, -Price", {"Churn"}, "-Price,-churn"),
    ],
)
def test_models_are_selected_by_name(given: str, takes: set[str], text: str) -> None:
    """As their folders are spelled; the text is the same for the same selection."""
    selection = settings.load({"MODELSYNC_GIT_MODELS": given}).git.models
    assert {name for name in ("Churn", "Price", "churn") if selection.takes(name)} == takes
    assert str(selection) == text
    assert bool(selection) == bool(text)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("Churn,-Price", "must name the models to serve, or those to leave out, not both"),
        ("Ch*", r"has Ch\*, which is no model's name"),
        ("Churn%20", "has Churn%20, which is no model's name"),
        ("models/Churn", "has models/Churn, which is no model's name"),
        ("all", "has all, which is no model's name; unset, it means all models"),
    ],
)
def test_what_selects_no_model_is_refused(given: str, message: str) -> None:
    with pytest.raises(SettingsError, match=f"MODELSYNC_GIT_MODELS {message}"):
        settings.load({"MODELSYNC_GIT_MODELS": given})
