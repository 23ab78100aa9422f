"""Values that are not what they should be: Helm says in words what to write instead, before
anything reaches the cluster.
"""

from __future__ import annotations

import re
import zoneinfo
from datetime import datetime
from typing import Any

import pytest
from cronsim import CronSim, CronSimError

from modelsync.settings import parsers
from modelsync.settings.aliases import parse_aliases
from modelsync.settings.selection import parse_selection
from scripts import chart_formats, chart_schema
from scripts.chart_values import values
from tests.chart.rendering import FOLLOWING, refused, rendered

ZONES = zoneinfo.available_timezones() - {"localtime", "posixrules", "Factory"}


def following(**git: Any) -> dict[str, Any]:
    return {"git": {**FOLLOWING["git"], **git}}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {**FOLLOWING, "sync": {"schedule": "99"}},
            'sync.schedule is "99"; it must be five fields of cron such as "*/5 * * * *"',
        ),
        ({**FOLLOWING, "sync": {"schedule": "99 * * * *"}}, 'sync.schedule is "99 * * * *"; it'),
        ({**FOLLOWING, "sync": {"schedule": "*/5 * * * 7"}}, "weekday from 0, Sunday, to 6"),
        ({**FOLLOWING, "sync": {"schedule": "5 minutes"}}, 'sync.schedule is "5 minutes"; it'),
        ({"training": {"schedule": "@every 5m"}}, 'training.schedule is "@every 5m"; it must'),
        (
            {**FOLLOWING, "rollout": {"timeZone": "Berlin"}},
            'rollout.timeZone is "Berlin"; it must be a time zone such as Europe/Berlin or UTC',
        ),
        ({"training": {"cronJob": {"timeZone": "CEST"}}}, "must be a time zone such as"),
        (
            {"resources": {"limits": {"memory": "512MB"}}},
            "resources.limits.memory is 512MB; it must be a size such as 512Mi or 4Gi",
        ),
        ({"resources": {"limits": {"memory": 512}}}, "resources.limits.memory is 512; it must"),
        ({"resources": {"requests": {"memory": "512m"}}}, "resources.requests.memory is 512m; it"),
        (
            {"rollout": {"resources": {"limits": {"cpu": "2 cores"}}}},
            "rollout.resources.limits.cpu is 2 cores; it must be processors such as 500m or 1.5",
        ),
        ({"state": {"sizeLimit": "4GB"}}, 'state.sizeLimit is "4GB"; it must be a size such as'),
        ({"git": {"path": None}}, "git.path is null; leave it out for its default"),
        ({"git": None}, "git.ref is null; leave it out for its default"),
        ({"replicaCount": None}, "replicaCount is null; leave it out"),
        ({**FOLLOWING, "sync": {"schedule": 99}}, 'sync.schedule is "99"; it must be five'),
        (
            {"git": {"path": "git.example.com/you/models.git"}},
            'git.path is "git.example.com/you/models.git"; it must be a URL such as '
            "https://git.example.com/you/models.git, or git@git.example.com:you/models.git for ssh",
        ),
        ({"git": {"path": "/srv/models.git"}}, "it must be a URL such as https://"),
        (following(ref="my branch"), 'git.ref is "my branch"; it must be a branch, a tag or'),
        (following(subdir="/models"), 'git.subdir is "/models"; it must be a relative folder'),
        (following(protocols="https ssh"), "must be a comma-separated list of https, ssh"),
        (
            {"image": {"repository": "registry.example.com/you/modelsync:0.1.0"}},
            "it must be the name of an image without its tag",
        ),
        ({"image": {"repository": "https://registry.example.com/m"}}, "image.repository is"),
        ({"image": {"digest": "sha256:short"}}, "must be sha256: and 64 hexadecimal digits"),
        ({"baseUrl": "/models"}, 'baseUrl is "/models"; it must be a URL path such as models'),
        ({"baseUrl": "metrics"}, 'baseUrl is "metrics"; it must be a URL path such as models'),
        ({"sync": {"timeout": "2 minutes"}}, "must be a positive time such as 30, 30s, 500ms"),
        (
            {"settings": {"MODELSYNC_MAX_BODY": "10MB"}},
            'settings.MODELSYNC_MAX_BODY is "10MB"; it must be a positive size such as 10MiB',
        ),
        ({"settings": {"MODELSYNC_JOB_MEMORY": "512MB"}}, "must be a positive size such as 10MiB"),
        ({"artifacts": {"endpoint": "minio:9000"}}, "must be a URL such as http://minio:9000"),
        ({"artifacts": {"url": "minio/models"}}, "it must be s3://bucket or s3://bucket/prefix"),
        ({"database": {"url": "mysql://u@h/n"}}, "database.url must be a URL such as postgresql"),
        ({"database": {"url": "sqlite:////data/models.db"}}, "database.url must be a URL such as"),
        (
            {"ingress": {"enabled": True, "hosts": ["https://models.example.com"]}},
            'ingress.hosts has "https://models.example.com"; it must be host names such as',
        ),
        (
            {"podLabels": {"app.kubernetes.io/name": "x"}},
            'podLabels has "app.kubernetes.io/name=x"; it must be labels such as team=pricing, '
            "other than the chart's own",
        ),
        ({"commonLabels": {"cost centre": "42"}}, 'commonLabels has "cost centre=42"; it must be'),
        ({"settings": {"MODELSYNC_WORKERS": "auto"}}, "must be a whole number from 1 to 1024, or"),
        ({"lifecycle": {"maxSurge": "half"}}, 'lifecycle.maxSurge is "half"; it must be a number'),
        (following(ref="a..b"), 'git.ref is "a..b"; it must be a branch, a tag or a commit'),
        ({"auth": {"existingSecret": "Models_Auth"}}, "must be the name of a Kubernetes object"),
        ({"fullnameOverride": "My_Models"}, 'fullnameOverride is "My_Models"; it must be lower'),
        ({"training": {"cronJob": {"timeout": "1d"}}}, "must be a time such as 90s, 30m or 12h"),
        ({"podDisruptionBudget": {"minAvailable": "half"}}, "must be a number of pods, or a share"),
        ({"metrics": {"serviceMonitor": {"interval": "half a minute"}}}, "such as 30s or 1m"),
    ],
)
def test_it_says_what_to_write(values: dict[str, Any], message: str) -> None:
    """The name, what it is, and what it must be; a pattern is no such words."""
    said = refused(values)
    assert message in said
    assert "pattern" not in said.lower()


def test_passwords_are_not_told() -> None:
    """A URL may hold one."""
    said = refused({"database": {"url": "mysql://models:secret@host/name"}})
    assert "secret" not in said
    said = refused({"git": {"path": "me:secret@git.example.com/m.git"}})
    assert "git.path must be a URL" in said
    assert "secret" not in said
    said = refused({"auth": {"predictTokens": ["secret, other"]}})
    assert "auth.predictTokens must be tokens without commas" in said
    assert "secret" not in said


def test_all_are_told_at_once() -> None:
    """Three wrong values are one message."""
    said = refused({"baseUrl": "/", "state": {"sizeLimit": "4"}, "git": {"ref": "a b"}})
    assert all(name in said for name in ("baseUrl", "state.sizeLimit", "git.ref"))


@pytest.mark.parametrize(
    "values",
    [
        {"resources": None},
        {"podSecurityContext": None, "securityContext": None},
        {"resources": {"limits": {"memory": None}}},
        {"resources": {"limits": {"nvidia.com/gpu": 1, "memory": 2147483648}}},
        {**FOLLOWING, "sync": {"schedule": "0-30/5 8,12 * JAN-mar mon-FRI"}},
        {**FOLLOWING, "sync": {"mode": "pod", "schedule": "@every 30s"}},
        {"ingress": {"enabled": True, "hosts": ["*.example.com"]}},
        {"image": {"repository": "localhost:5000/you/model-sync"}},
        {"git": {"path": "ssh://git@git.example.com:2222/m.git", "existingSecret": "deploy-key"}},
    ],
    ids=str,
)
def test_what_can_be_meant_is_taken(values: dict[str, Any]) -> None:
    """What looks odd and is right."""
    assert rendered(values).all


@pytest.mark.parametrize("zone", ["Berlin", "europe/berlin", "GMT+1", "CEST", "Local", "UTC+2"])
def test_zones_that_are_none(zone: str) -> None:
    """What Kubernetes does not know."""
    assert not re.fullmatch(chart_formats.FORMATS["zone"]["pattern"], zone)


def test_every_zone_is_known() -> None:
    """Each of the time zone database."""
    pattern = re.compile(chart_formats.FORMATS["zone"]["pattern"])
    assert len(ZONES) > 400
    assert [zone for zone in ZONES if not pattern.fullmatch(zone)] == []


@pytest.mark.parametrize(
    "text",
    [
        *("* * * * *", "*/5 * * * *", "0 2 * * *", "59 23 31 12 6", "1,2-4,*/20 0 1 JAN sun"),
        *("60 * * * *", "* 24 * * *", "* * 0 * *", "* * * 13 *", "* * * * MO", "* * * *", "a b"),
        *("*/0 * * * *", "1- * * * *", ",1 * * * *"),
    ],
)
def test_cron_is_that_of_the_service(text: str) -> None:
    """The chart takes what the service can read, but for names and forms that a CronJob lacks."""
    try:
        CronSim(text, datetime(2026, 1, 1))
        read = True
    except CronSimError:
        read = False
    assert bool(re.fullmatch(chart_formats.FORMATS["schedule"]["pattern"], text)) is read


WRONG = {
    "seconds": "fast", "size": "512MB", "protocols": "ftp", "lfs_url": "lfs", "base_url": "a b",
    "subdirectory": "..", "name": "A", "place": "gs://bucket", "share": "2", "positive": "-1",
    "parse_aliases": "train", "parse_selection": "A,-B", "service_url": "canary:8080",
}  # fmt: skip


@pytest.mark.parametrize(("parser", "text"), WRONG.items())
def test_words_are_the_settings(parser: str, text: str) -> None:
    """The chart says of a value what the service says of the setting."""
    others = {"parse_aliases": parse_aliases, "parse_selection": parse_selection}
    where = others.get(parser) or getattr(parsers, parser)
    with pytest.raises(ValueError, match=re.escape(chart_schema.PARSERS[parser]["says"])):
        where(text)


def test_every_format_is_used() -> None:
    """And each that values.yaml names is there."""
    assert {value.format for value in values() if value.format} == set(chart_formats.FORMATS)
