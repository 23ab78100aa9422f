"""What of the environment becomes a setting, and what is refused in words that help."""

from __future__ import annotations

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
        {"MODELSYNC_PORT_80_TCP_ADDR": "10.96.0.12", "MODELSYNC_PORT_80_TCP": "tcp://10.96.0.12:80"},
        {"MODELSYNC_CANARY_SERVICE_HOST": "10.96.0.12", "MODELSYNC_CANARY_PORT": "tcp://10.96.0.12:80"},
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
    with pytest.raises(SettingsError, match=r"enableServiceLinks.*MODELSYNC_PROT is not a setting.*MODELSYNC_PORT"):
        settings.load({"MODELSYNC_SERVICE_HOST": "10.96.0.12", "MODELSYNC_PROT": "1"})


@pytest.mark.parametrize("broken", [(), ("Churn",), ("Churn", "a,b c%\n", "ü")])
def test_a_revision_reads_what_it_writes(broken: tuple[str, ...]) -> None:
    """The annotation that `modelsync rollout` writes is what the pod's setting reads, whatever models are called."""
    revision = Revision(COMMIT, frozenset(broken))
    assert settings.load({"MODELSYNC_GIT_REVISION": str(revision)}).git.revision == revision
    assert str(Revision(COMMIT)) == COMMIT


@pytest.mark.parametrize("value", ["main", COMMIT[:12], COMMIT.upper(), f"{COMMIT} except", f"{COMMIT} {COMMIT}"])
def test_only_a_full_hash_is_a_revision(value: str) -> None:
    """A name that can move, or a hash that may fit two commits, pins nothing."""
    with pytest.raises(SettingsError, match="MODELSYNC_GIT_REVISION must be the full hash"):
        settings.load({"MODELSYNC_GIT_REVISION": value})


def test_a_revision_is_on_trial_until_it_is_proven() -> None:
    """Without a pin nothing is on trial; with one, until the same commit has become ready everywhere."""
    other = "f" * 40
    assert not settings.load({"MODELSYNC_GIT_PROVEN": other}).git.on_trial
    assert settings.load({"MODELSYNC_GIT_REVISION": COMMIT}).git.on_trial
    assert settings.load({"MODELSYNC_GIT_REVISION": COMMIT, "MODELSYNC_GIT_PROVEN": other}).git.on_trial
    assert not settings.load(
        {"MODELSYNC_GIT_REVISION": f"{COMMIT} except A", "MODELSYNC_GIT_PROVEN": COMMIT}
    ).git.on_trial
