"""Secrets: mounted as files from Secrets, and nowhere else."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from tests.chart.rendering import FOLLOWING, Object, Objects, in_ci, rendered

SSH = {"path": "git@git.example.com:models.git"}
STORE = {
    "MODELSYNC_DATABASE_URL_FILE": ("everything-store", "database-url"),
    "MODELSYNC_S3_ACCESS_KEY_FILE": ("everything-store", "s3-access-key"),
    "MODELSYNC_S3_SECRET_KEY_FILE": ("everything-store", "s3-secret-key"),
    "MODELSYNC_DATA_URL_FILE": ("everything-store", "data-url"),
}


def decoded(secret: Object) -> dict[str, str]:
    return {name: base64.b64decode(value).decode() for name, value in secret["data"].items()}


def files(objects: Objects, component: str = "server") -> dict[str, tuple[str, str]]:
    """The Secret and key of each file that a setting of the container names."""
    container, pod = objects.container(component), objects.pod(component)
    mounted = {one["mountPath"]: one["name"] for one in container["volumeMounts"]}
    volumes = {one["name"]: one for one in pod["spec"]["volumes"]}
    found: dict[str, tuple[str, str]] = {}
    for setting, path in objects.environment(component).items():
        folder, _, name = path.rpartition("/")
        if setting.endswith("_FILE") and folder in mounted:
            volume = volumes[mounted[folder]]
            sources = [
                source["secret"] for source in volume.get("projected", {}).get("sources", [])
            ]
            sources += (
                [{"name": volume["secret"]["secretName"], **volume["secret"]}]
                if "secret" in volume
                else []
            )
            for source in sources:
                found.update(
                    (setting, (source["name"], one["key"]))
                    for one in source["items"]
                    if one["path"] == name
                )
    return found


def test_secrets_are_nowhere_else() -> None:
    """No password or token of the values is in any object but a Secret, plainly or encoded."""
    others = json.dumps([one for one in rendered(in_ci("full")).all if one["kind"] != "Secret"])
    values = in_ci("full")
    texts = [
        values["git"]["password"],
        values["database"]["url"],
        values["artifacts"]["accessKey"],
        values["artifacts"]["secretKey"],
        values["training"]["data"]["url"],
        values["image"]["credentials"]["password"],
        values["auth"]["webhookSecret"],
    ]
    texts += [
        token
        for name in ("predictTokens", "trainTokens", "adminTokens")
        for token in values["auth"][name]
    ]
    assert len(texts) == 11
    for text in texts:
        assert text not in others
        assert base64.b64encode(text.encode()).decode() not in others


def test_secrets_come_as_files() -> None:
    """Each secret of the values is a key of the chart's Secrets, and a file under the setting that
    reads it.
    """
    objects = rendered(in_ci("full"))
    assert decoded(objects.one("Secret", "-auth")) == {
        "predict-tokens": "predict-token-of-the-tests,another-predict-token",
        "train-tokens": "train-token-of-the-tests",
        "admin-tokens": "admin-token-of-the-tests",
        "webhook-secret": "webhook-secret-of-the-tests",
    }
    assert decoded(objects.one("Secret", "-git")) == {"password": "git-password-of-the-tests"}
    assert decoded(objects.one("Secret", "-store")) == {
        "database-url": "postgresql://models:database-password-of-the-tests@postgres:5433/models",
        "s3-access-key": "access-key-of-the-tests",
        "s3-secret-key": "secret-key-of-the-tests",
        "data-url": "postgresql://reader:data-password-of-the-tests@warehouse/data",
    }
    assert files(objects) == {
        **STORE,
        "MODELSYNC_GIT_PASSWORD_FILE": ("everything-git", "password"),
        "MODELSYNC_PREDICT_TOKENS_FILE": ("everything-auth", "predict-tokens"),
        "MODELSYNC_TRAIN_TOKENS_FILE": ("everything-auth", "train-tokens"),
        "MODELSYNC_ADMIN_TOKENS_FILE": ("everything-auth", "admin-tokens"),
    }


def test_the_follower_gets_the_secrets_that_it_needs() -> None:
    """Those of the rollout, the tokens, and alone that of the webhooks."""
    found = set(files(rendered(in_ci("full")), "follower"))
    assert found == {
        *(f"MODELSYNC_{name}_TOKENS_FILE" for name in ("PREDICT", "TRAIN", "ADMIN")),
        "MODELSYNC_DATABASE_URL_FILE",
        "MODELSYNC_GIT_PASSWORD_FILE",
        "MODELSYNC_WEBHOOK_SECRET_FILE",
    }


@pytest.mark.parametrize(
    ("image", "registry"),
    [
        ({"repository": "registry.example.com:5000/you/modelsync"}, "registry.example.com:5000"),
        ({"repository": "localhost/modelsync"}, "localhost"),
        ({"repository": "you/modelsync"}, "https://index.docker.io/v1/"),
        ({"repository": "modelsync"}, "https://index.docker.io/v1/"),
        ({"credentials": {"registry": "ghcr.io"}}, "ghcr.io"),
    ],
)
def test_credentials_of_the_registry(image: dict[str, Any], registry: str) -> None:
    """From user and password the chart makes the Secret with which every pod pulls its image,
    beside those that are there already.
    """
    login = {"username": "puller", "password": "p:a/s"}
    credentials = {**login, **image.get("credentials", {})}
    values = {"pullSecrets": [{"name": "mine"}], **image, "credentials": credentials}
    objects = rendered({**FOLLOWING, "image": values})
    secret = objects.one("Secret", "-registry")
    assert secret["type"] == "kubernetes.io/dockerconfigjson"
    found = json.loads(decoded(secret)[".dockerconfigjson"])
    auth = base64.b64encode(b"puller:p:a/s").decode()
    assert found == {"auths": {registry: {**login, "auth": auth}}}
    for _, pod in objects.pods():
        assert pod["spec"]["imagePullSecrets"] == [
            {"name": "mine"},
            {"name": "shop-modelsync-registry"},
        ]
    assert "imagePullSecrets" not in rendered().pod()["spec"]


@pytest.mark.parametrize(
    ("component", "settings"),
    [
        # It fetches, and makes labels of git tags.
        ("rollout", {"MODELSYNC_GIT_PASSWORD_FILE", "MODELSYNC_DATABASE_URL_FILE"}),
        ("dispatcher", {"MODELSYNC_DATABASE_URL_FILE"}),
        # It fetches, reads data and stores what it has made.
        ("job", {"MODELSYNC_GIT_PASSWORD_FILE", *STORE}),
        ("train", {"MODELSYNC_GIT_PASSWORD_FILE", *STORE}),
    ],
)
def test_each_pod_gets_the_secrets_that_it_needs(component: str, settings: set[str]) -> None:
    """No pod but those that serve, and the follower, has a token of the service."""
    objects = rendered(in_ci("full"))
    assert set(files(objects, component)) == settings
    assert "auth" not in {one["name"] for one in objects.pod(component)["spec"]["volumes"]}


def test_ones_own_secrets_in_their_place() -> None:
    """With existingSecret everywhere, the chart makes no Secret but for host keys that the values
    give.
    """
    objects = rendered(in_ci("pod"))
    assert [name for name in objects.names if name.startswith("Secret/")] == [
        "Secret/shop-modelsync-git"
    ]
    assert set(objects.one("Secret", "-git")["data"]) == {"known_hosts"}
    assert files(objects) == {
        "MODELSYNC_GIT_SSH_KEY_FILE": ("deploy-key", "id_ed25519"),
        "MODELSYNC_GIT_KNOWN_HOSTS_FILE": ("shop-modelsync-git", "known_hosts"),
        "MODELSYNC_PREDICT_TOKENS_FILE": ("tokens", "predict"),
        "MODELSYNC_TRAIN_TOKENS_FILE": ("tokens", "train"),
        "MODELSYNC_ADMIN_TOKENS_FILE": ("tokens", "admin"),
        "MODELSYNC_WEBHOOK_SECRET_FILE": ("tokens", "webhook"),
        "MODELSYNC_DATABASE_URL_FILE": ("postgres-app", "uri"),
        "MODELSYNC_DATA_URL_FILE": ("warehouse", "uri"),
        "MODELSYNC_S3_ACCESS_KEY_FILE": ("s3", "id"),
        "MODELSYNC_S3_SECRET_KEY_FILE": ("s3", "secret"),
    }


def test_a_basic_auth_secret_fits() -> None:
    """A Secret of type kubernetes.io/basic-auth gives the password, and the user if it has one."""
    objects = rendered(
        {"git": {"path": "https://git.example.com/models.git", "existingSecret": "github"}}
    )
    assert files(objects) == {
        "MODELSYNC_GIT_PASSWORD_FILE": ("github", "password"),
        "MODELSYNC_ADMIN_TOKENS_FILE": ("shop-modelsync-auth", "admin-tokens"),
    }
    (user,) = (one for one in objects.container()["env"] if one["name"] == "usergit")
    assert user["valueFrom"]["secretKeyRef"] == {
        "name": "github",
        "key": "username",
        "optional": True,
    }


def test_an_ssh_auth_secret_fits() -> None:
    """A Secret of type kubernetes.io/ssh-auth gives the key; known_hosts is one more key of it."""
    found = files(rendered({"git": {**SSH, "existingSecret": "key"}}))
    assert found["MODELSYNC_GIT_SSH_KEY_FILE"] == ("key", "ssh-privatekey")
    assert found["MODELSYNC_GIT_KNOWN_HOSTS_FILE"] == ("key", "known_hosts")


def test_ssh_from_values() -> None:
    """Key and host keys of the values are one Secret."""
    objects = rendered(
        {
            "git": {
                **SSH,
                "sshKey": "-----BEGIN\nkey\n",
                "knownHosts": "git.example.com ssh-ed25519 A",
            }
        }
    )
    assert decoded(objects.one("Secret", "-git")) == {
        "ssh-privatekey": "-----BEGIN\nkey\n",
        "known_hosts": "git.example.com ssh-ed25519 A",
    }
    assert files(objects)["MODELSYNC_GIT_SSH_KEY_FILE"] == ("shop-modelsync-git", "ssh-privatekey")


def test_an_open_repository_needs_no_secret() -> None:
    """Without credentials none is mounted."""
    assert "git" not in {one["name"] for one in rendered(FOLLOWING).pod()["spec"]["volumes"]}


def test_only_the_services_user_reads_them() -> None:
    """Mounted secrets belong to the pod's group and are read by nobody else."""
    volumes = {one["name"]: one for one in rendered(in_ci("full")).pod()["spec"]["volumes"]}
    for name in ("git", "auth", "store"):
        assert (volumes[name].get("projected") or volumes[name]["secret"])["defaultMode"] == 0o440


def test_an_admin_token_is_made() -> None:
    """The chart makes a long admin token for each release, unless the values have one."""
    first, second = (
        decoded(rendered(release=name).one("Secret", "-auth")) for name in ("one", "two")
    )
    assert set(first) == {"admin-tokens"}
    assert len(first["admin-tokens"]) >= 32
    assert first != second


@pytest.mark.parametrize(
    "auth", [{"adminTokens": ["mine"]}, {"existingSecret": "tokens"}, {"generateAdminToken": False}]
)
def test_no_admin_token_is_made_beside_ones_own(auth: dict[str, Any]) -> None:
    """One that is given, in the values or in a Secret, is the only one; none at all is made where
    that is asked.
    """
    objects = rendered({"auth": auth})
    secrets = [one for one in objects.all if one["kind"] == "Secret"]
    assert [decoded(one) for one in secrets] == (
        [{"admin-tokens": "mine"}] if "adminTokens" in auth else []
    )
    assert all("annotations" not in one["metadata"] for one in secrets)


def test_the_test_pod_may_predict() -> None:
    """Where predicting takes a token, the pod of `helm test` has it."""
    pod = rendered({"auth": {"predictTokens": ["secret"]}}).pod("test")
    assert pod["spec"]["volumes"][0]["secret"]["items"] == [
        {"key": "predict-tokens", "path": "predict-tokens"}
    ]
    assert "volumes" not in rendered().pod("test")["spec"]
