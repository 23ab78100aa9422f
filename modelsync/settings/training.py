"""The settings of trained models: the store, jobs, training data."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from modelsync.settings import parsers
from modelsync.settings.aliases import Alias, parse_aliases
from modelsync.settings.definition import secret, setting
from modelsync.settings.secret import Secret

JobPlace = Literal["process", "kubernetes", "off"]
SerializerChoice = Literal["auto", "cloudpickle", "joblib", "skops", "onnx"]
Mismatch = Literal["warn", "refuse"]


@dataclass(frozen=True, slots=True)
class StoreSettings:
    """The store of trained models: a database for jobs and versions, and the artefacts."""

    database_url: Secret = secret(
        "MODELSYNC_DATABASE_URL",
        "database of jobs and versions, such as postgresql://user:password@host/name; unset: a "
        "SQLite file in the state directory, for one replica",
    )
    artifacts: str = setting(
        "MODELSYNC_ARTIFACTS",
        "",
        parsers.text,
        "where fitted models are kept: s3://bucket/prefix; empty: in the database",
    )
    s3_endpoint: str = setting(
        "MODELSYNC_S3_ENDPOINT",
        "",
        parsers.text,
        "URL of an S3 server other than Amazon's, such as http://minio:9000",
    )
    s3_region: str = setting("MODELSYNC_S3_REGION", "", parsers.text, "region of the S3 buckets")
    s3_access_key: Secret = secret(
        "MODELSYNC_S3_ACCESS_KEY", "access key for S3; unset: the machine's own credentials"
    )
    s3_secret_key: Secret = secret("MODELSYNC_S3_SECRET_KEY", "secret key for S3")


@dataclass(frozen=True, slots=True)
class Training:
    """Jobs that fit models, the data that they read, and how versions are stored."""

    jobs: JobPlace = setting(
        "MODELSYNC_JOBS",
        "process",
        parsers.choice(JobPlace),
        "where models are fitted: `process`, a child of the service; `kubernetes`, a Job of the "
        "cluster; `off`: refused",
    )
    template: str = setting(
        "MODELSYNC_JOB_TEMPLATE",
        "",
        parsers.name,
        "with `kubernetes`: the CronJob whose template the Jobs are made from; set by the chart",
    )
    concurrency: int = setting(
        "MODELSYNC_JOB_CONCURRENCY", 1, parsers.integer(1, 1024), "jobs that run at a time"
    )
    max_queue: int = setting(
        "MODELSYNC_JOB_QUEUE",
        100,
        parsers.integer(1, 1_000_000),
        "jobs that may wait; over it the answer is 429",
    )
    memory: int | None = setting(
        "MODELSYNC_JOB_MEMORY",
        None,
        parsers.size,
        "memory that a job may allocate, such as 4GiB; over it the job fails",
    )
    timeout: float | None = setting(
        "MODELSYNC_JOB_TIMEOUT",
        None,
        parsers.seconds,
        "time a job may take, such as 6h; unset: as long as it needs",
    )
    nice: int = setting(
        "MODELSYNC_JOB_NICE",
        10,
        parsers.integer(0, 19),
        "priority of jobs, from 0 to 19, the lowest, so that predictions do not suffer",
    )
    max_upload: int = setting(
        "MODELSYNC_MAX_UPLOAD",
        100 * 1024**2,
        parsers.size,
        "size of the largest body of PUT and PATCH: training data, or a ready model",
        shown="100MiB",
    )
    data: Path = setting(
        "MODELSYNC_DATA",
        Path(),
        lambda raw: Path(raw).expanduser(),
        "folder of the training data that a source may name",
    )
    data_url: Secret = secret(
        "MODELSYNC_DATA_URL",
        "database that a source may query, such as postgresql://reader:password@host/name",
    )
    serializer: SerializerChoice = setting(
        "MODELSYNC_SERIALIZER",
        "auto",
        parsers.choice(SerializerChoice),
        "format of stored models; auto: joblib for scikit-learn's, else cloudpickle",
    )
    mismatch: Mismatch = setting(
        "MODELSYNC_LIBRARY_MISMATCH",
        "warn",
        parsers.choice(Mismatch),
        "warn of, or refuse, what was fitted with another version of its library",
    )
    versions_loaded: int = setting(
        "MODELSYNC_VERSIONS_LOADED",
        4,
        parsers.integer(1, 1000),
        "versions of a model besides the current one that stay in memory, for requests by version",
    )
    aliases: tuple[Alias, ...] = setting(
        "MODELSYNC_ALIASES",
        (),
        parse_aliases,
        "further URLs: /path=Model:action, separated by commas; the actions are predict, train, "
        "status and download",
        shown="",
    )


@dataclass(frozen=True, slots=True)
class Continuous:
    """Training by itself, and how live requests are watched for drift."""

    cron: str = setting(
        "MODELSYNC_TRAIN_CRON",
        "off",
        parsers.text,
        "when all models that can be trained by themselves are: a cron expression in local time, "
        '"@daily", or "off"',
    )
    poll: float | None = setting(
        "MODELSYNC_TRAIN_POLL",
        None,
        parsers.seconds,
        "period of looking whether training data has changed, such as 10m, and of training then; "
        "unset: never",
    )
    sample_rate: float = setting(
        "MODELSYNC_SAMPLE_RATE",
        0.0,
        parsers.share,
        "share of the requests that is kept for drift and live accuracy, from 0 to 1, such as 0.01",
        shown="0",
    )
    sample_mask: tuple[str, ...] = setting(
        "MODELSYNC_SAMPLE_MASK",
        (),
        parsers.names,
        "columns whose values are never kept in samples, separated by commas",
        shown="",
    )
    samples: str = setting(
        "MODELSYNC_SAMPLES",
        "",
        parsers.place,
        "where samples are kept as Parquet: a folder or s3://bucket/prefix; empty: in the state "
        "directory",
    )
    sample_size: int = setting(
        "MODELSYNC_SAMPLE_SIZE",
        100 * 1024**2,
        parsers.size,
        "size of the samples of one model; the oldest are removed",
        shown="100MiB",
    )
    drift_threshold: float | None = setting(
        "MODELSYNC_DRIFT_TRAIN",
        None,
        parsers.positive,
        "population stability index of a column from which a training starts, such as 0.25; unset: "
        "never",
    )
    accuracy_threshold: float | None = setting(
        "MODELSYNC_ACCURACY_TRAIN",
        None,
        parsers.share,
        "live accuracy under which a training starts, such as 0.8; unset: never",
    )
