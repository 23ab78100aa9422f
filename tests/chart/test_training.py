"""Models that are fitted in a cluster: the store, the Jobs, who may make them, and what is off by
default.
"""

from __future__ import annotations

import pytest

from modelsync import settings
from modelsync.training.train_command import BUSY, FINAL
from tests.chart.rendering import FOLLOWING, Object, Objects, in_ci, rendered

STORE = {"database": {"existingSecret": "postgres-app", "existingSecretKey": "uri"}}
TRAINING = {**STORE, "training": {"enabled": True}}
NIGHTLY = {"schedule": "0 2 * * *"}
DISPATCHER = "-dispatcher"


def ports(objects: Objects, suffix: str = "") -> list[int]:
    rules = objects.one("NetworkPolicy", suffix)["spec"]["egress"]
    return sorted(port["port"] for rule in rules for port in rule["ports"])


def test_off_unless_it_is_asked_for() -> None:
    """An upgrade with the values of an older chart changes nothing: two pods, no database, no
    fits; nobody may make Jobs.
    """
    objects = rendered(FOLLOWING)
    assert settings.load(objects.environment()).training.jobs == "off"
    assert {component for component, _ in objects.pods()} == {
        "server",
        "rollout",
        "follower",
        "test",
    }
    assert "store" not in {one["name"] for one in objects.pod()["spec"]["volumes"]}


def test_what_fits_in_jobs_takes() -> None:
    """A template for Jobs, a dispatcher that makes them, and its rights, which no other pod has."""
    added = set(rendered({**FOLLOWING, **TRAINING}).names) - set(rendered(FOLLOWING).names)
    assert added == {
        "CronJob/shop-modelsync-job",
        "Deployment/shop-modelsync-dispatcher",
        "Role/shop-modelsync-dispatcher",
        "RoleBinding/shop-modelsync-dispatcher",
        "ServiceAccount/shop-modelsync-dispatcher",
    }


def test_the_rights_of_the_dispatcher() -> None:
    """It reads one template, makes and removes Jobs, and sees why their pods do not start."""
    objects = rendered(TRAINING)
    assert objects.one("Role", DISPATCHER)["rules"] == [
        {
            "apiGroups": ["batch"],
            "resources": ["cronjobs"],
            "resourceNames": ["shop-modelsync-job"],
            "verbs": ["get"],
        },
        {
            "apiGroups": ["batch"],
            "resources": ["jobs"],
            "verbs": ["create", "get", "list", "delete"],
        },
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]},
    ]
    (subject,) = objects.one("RoleBinding", DISPATCHER)["subjects"]
    bound = [
        component
        for component, pod in objects.pods()
        if pod["spec"]["serviceAccountName"] == subject["name"]
    ]
    assert bound == ["dispatcher"]


def test_the_template_of_jobs() -> None:
    """It never runs by itself; a Job is not tried again and removed in time; its pod runs the
    service's image with the settings of the pods that serve.
    """
    objects = rendered({**FOLLOWING, **TRAINING})
    spec = objects.one("CronJob", "-job")["spec"]
    assert spec["suspend"] is True
    job = spec["jobTemplate"]["spec"]
    assert (job["backoffLimit"], job["ttlSecondsAfterFinished"]) == (0, 3600)
    container = objects.container("job")
    assert (container["args"], container["image"]) == (
        ["job", "run"],
        objects.container()["image"],
    )
    found = settings.load(objects.environment("job"))
    assert (found.training.jobs, found.training.template) == ("kubernetes", "shop-modelsync-job")
    assert objects.environment("job").items() <= objects.environment().items()
    assert job["template"]["spec"]["restartPolicy"] == "Never"


def test_models_are_trained_by_a_cronjob() -> None:
    """At its time, one run at a time, with the code that the pods serve; those keep no schedule."""
    objects = rendered({**FOLLOWING, **STORE, "training": {"enabled": True, **NIGHTLY}})
    spec = objects.one("CronJob", "-train")["spec"]
    assert spec["schedule"] == "0 2 * * *"
    assert "suspend" not in spec  # what `kubectl patch` says of it stays at upgrades
    assert spec["concurrencyPolicy"] == "Forbid"
    container = objects.container("train")
    assert container["args"] == ["train", "--trigger", "schedule"]
    assert container["image"] == objects.container()["image"]
    assert objects.environment("train").items() <= objects.environment().items()
    revision = {one["name"]: one["valueFrom"] for one in container["env"] if "valueFrom" in one}
    for setting in ("MODELSYNC_GIT_REVISION", "MODELSYNC_GIT_PROVEN"):
        found = revision[setting]["configMapKeyRef"]
        assert found == {"name": "shop-modelsync-rollout", "key": "good", "optional": True}
    for component in ("", "train"):
        found = settings.load(objects.environment(*filter(None, [component])))
        assert (found.continuous.cron, found.training.jobs) == ("off", "kubernetes")


def test_a_training_is_tried_again_if_that_helps() -> None:
    """If its pod was killed, or another process works on a model; not if a model has failed."""
    objects = rendered({**STORE, "training": {"enabled": True, **NIGHTLY}})
    job = objects.one("CronJob", "-train")["spec"]["jobTemplate"]["spec"]
    ignored, fails = job["podFailurePolicy"]["rules"]
    assert ignored["onPodConditions"] == [{"type": "DisruptionTarget", "status": "True"}]
    assert set(fails["onExitCodes"]["values"]) == FINAL - {0}
    assert BUSY not in FINAL
    assert job["backoffLimit"] > 0
    assert job["template"]["spec"]["restartPolicy"] == "Never"


def test_one_pod_without_a_database_keeps_the_schedule_itself() -> None:
    """No other pod could reach its versions."""
    objects = rendered(
        {
            "replicaCount": 1,
            "training": {"enabled": True, "jobs": "process", **NIGHTLY},
            "state": {"existingClaim": "versions"},
        }
    )
    assert "CronJob" not in objects.kinds
    assert settings.load(objects.environment()).continuous.cron == "0 2 * * *"


def test_jobs_have_resources_and_nodes_of_their_own() -> None:
    """Requests, limits, selector and tolerations are those of `training.job`, else the selector of
    all pods.
    """
    full = rendered(in_ci("full"))
    assert full.container("job")["resources"]["limits"] == {"memory": "1Gi"}
    pod = full.pod("job")["spec"]
    assert pod["nodeSelector"] == {"example.com/pool": "training"}
    assert [one["key"] for one in pod["tolerations"]] == ["training"]
    assert full.pod()["spec"]["nodeSelector"] == {"kubernetes.io/os": "linux"}
    plain = rendered({**TRAINING, "nodeSelector": {"disk": "ssd"}})
    assert plain.pod("job")["spec"]["nodeSelector"] == {"disk": "ssd"}


def test_fits_beside_the_service_need_no_rights() -> None:
    """With training.jobs process there is neither a dispatcher nor a template."""
    objects = rendered({**STORE, "training": {"enabled": True, "jobs": "process"}})
    assert not objects.kinds & {"CronJob", "Role"}
    assert settings.load(objects.environment()).training.jobs == "process"


def test_one_pod_keeps_its_versions_on_a_volume() -> None:
    """Without a database the state is on a claim, and two pods never have it at once."""
    objects = rendered(
        {
            "replicaCount": 1,
            "training": {"enabled": True, "jobs": "process"},
            "state": {"existingClaim": "versions"},
        }
    )
    assert objects.one("Deployment")["spec"]["strategy"] == {"type": "Recreate"}
    (state,) = (one for one in objects.pod()["spec"]["volumes"] if one["name"] == "state")
    assert state["persistentVolumeClaim"] == {"claimName": "versions"}


def test_a_store_without_fits() -> None:
    """Versions that another installation makes are served by one that fits nothing itself."""
    objects = rendered(STORE)
    assert settings.load(objects.environment()).training.jobs == "off"
    assert (
        objects.environment()["MODELSYNC_DATABASE_URL_FILE"] == "/etc/modelsync/store/database-url"
    )


@pytest.mark.parametrize("component", ["server", "job"])
def test_training_data_on_a_claim(component: str) -> None:
    """The claim is mounted for reading where sources are looked up, and where they are read."""
    objects = rendered(
        {**TRAINING, "training": {"enabled": True, "data": {"existingClaim": "csv"}}}
    )
    assert str(settings.load(objects.environment(component)).training.data) == "/srv/data"
    (mount,) = (
        one
        for one in objects.container(component)["volumeMounts"]
        if one["mountPath"] == "/srv/data"
    )
    (volume,) = (
        one for one in objects.pod(component)["spec"]["volumes"] if one["name"] == mount["name"]
    )
    assert mount["readOnly"] is True
    assert volume["persistentVolumeClaim"] == {"claimName": "csv", "readOnly": True}


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        ({**STORE}, [53, 53, 5432]),
        ({"database": {"url": "postgresql://a:b@pg:6543/n"}}, [53, 53, 6543]),
        ({"database": {"url": "postgresql://a:p4@pg/n"}}, [53, 53, 5432]),
        ({**STORE, "artifacts": {"url": "s3://b"}}, [53, 53, 443, 5432]),
        (
            {**STORE, "artifacts": {"url": "s3://b", "endpoint": "http://minio:9000"}},
            [53, 53, 5432, 9000],
        ),
        (
            {**FOLLOWING, **STORE, "artifacts": {"url": "s3://b", "endpoint": "https://minio"}},
            [53, 53, 443, 5432],
        ),
    ],
)
def test_the_network_policy_lets_the_store_through(values: Object, wanted: list[int]) -> None:
    """The ports of database and S3 server are open for the pods that need them."""
    objects = rendered(
        {**values, "training": {"enabled": True}, "networkPolicy": {"enabled": True}}
    )
    assert ports(objects) == wanted
    assert ports(objects, "-job") == wanted
    assert sorted(ports(objects, DISPATCHER)) == sorted([*wanted, 443, 6443])
