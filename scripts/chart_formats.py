"""What values of the chart look like, in words.

Helm's own message for a value that does not fit a pattern of the schema is the pattern. So the
schema keeps types, bounds, choices and names; patterns stand in `files/formats.json`, by which
`templates/_formats.tpl` says what to write instead. Values that are no setting have one of FORMATS
by the tag `@format NAME` in values.yaml.

Written for Go's regular expressions, which lack lookaheads.
"""

from __future__ import annotations

import re
from typing import Any

Schema = dict[str, Any]

OBJECT = "[a-z0-9]([-a-z0-9.]*[a-z0-9])?"
"""The name of most objects of Kubernetes (RFC 1123)."""

_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_NAME = "[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?"
_HOST = f"{_LABEL}([.]{_LABEL})*"
_OURS = "name|instance|version|component|part-of|managed-by"
_MONTHS = "jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec"
_DAYS = "sun|mon|tue|wed|thu|fri|sat"
_UNIT = "([KMGTPE]i|[kMGTPE])"


def _field(value: str) -> str:
    """A field of cron, as the controller of CronJobs reads it."""
    item = f"([*]|({value})(-({value}))?)(/[1-9][0-9]*)?"
    return f"{item}(,{item})*"


_CRON = " +".join(
    map(
        _field,
        (
            "[0-5]?[0-9]",
            "[01]?[0-9]|2[0-3]",
            "0?[1-9]|[12][0-9]|3[01]",
            f"0?[1-9]|1[0-2]|(?i:{_MONTHS})",
            f"[0-6]|(?i:{_DAYS})",
        ),
    )
)
_NICKNAMES = "@(hourly|daily|midnight|weekly|monthly|yearly|annually)"
_AREAS = (
    "Africa|America|Antarctica|Arctic|Asia|Atlantic|Australia|Brazil|Canada|Chile|Etc|Europe|Indian"
    "|Mexico|Pacific|US"
)
_ZONES = (
    "CET|CST6CDT|Cuba|EET|EST|EST5EDT|Egypt|Eire|GB|GB-Eire|GMT|GMT[+]0|GMT-0|GMT0|Greenwich|HST"
    "|Hongkong|Iceland|Iran|Israel|Jamaica|Japan|Kwajalein|Libya|MET|MST|MST7MDT|NZ|NZ-CHAT|Navajo"
    "|PRC|PST8PDT|Poland|Portugal|ROC|ROK|Singapore|Turkey|UCT|UTC|Universal|W-SU|WET|Zulu"
)

FORMATS: dict[str, Schema] = {
    "schedule": {
        "type": ["string", "number"],
        "pattern": f"^(off|@every [1-9][0-9]*[smh]|{_CRON})$",
        "says": 'must be five fields of cron such as "*/5 * * * *" (minute, hour, day, month, '
        "weekday from 0, Sunday, to 6), or off",
    },
    "training-schedule": {
        "type": ["string", "number"],
        "pattern": f"^(off|{_NICKNAMES}|{_CRON})$",
        "says": 'must be five fields of cron such as "0 2 * * *" (minute, hour, day, month, '
        "weekday from 0, Sunday, to 6), @daily, or off",
    },
    "zone": {
        "type": "string",
        "pattern": f"^(({_AREAS})/[A-Za-z0-9_+/-]+|{_ZONES})?$",
        "says": "must be a time zone such as Europe/Berlin or UTC, or empty",
    },
    "quantity": {
        "type": "string",
        "pattern": f"^(0|[0-9]+([.][0-9]+)?{_UNIT}|[0-9]{{7,}}|[0-9]+[eE][0-9]+)$",
        "says": "must be a size such as 512Mi or 4Gi",
    },
    "duration": {
        "type": "string",
        "pattern": "^[1-9][0-9]*[smh]$",
        "says": "must be a time such as 90s, 30m or 12h",
    },
    "scrape-duration": {
        "type": "string",
        "pattern": "^[0-9]+(ms|s|m|h)$",
        "says": "must be a time such as 30s or 1m",
    },
    "gateway-duration": {
        "type": "string",
        "pattern": "^([0-9]{1,5}(h|m|s|ms)){0,4}$",
        "says": "must be a time such as 60s or 1m30s, or empty",
    },
    "repository": {
        "type": "string",
        "pattern": f"^({_HOST}(:[0-9]+)?/)?[a-z0-9]+([._/-]+[a-z0-9]+)*$",
        "says": "must be the name of an image without its tag, such as "
        "registry.example.com/you/modelsync; image.tag holds the tag",
    },
    "registry": {
        "type": "string",
        "pattern": f"^(https?://[^\\s]+|{_HOST}(:[0-9]+)?(/[^\\s]*)?)?$",
        "says": "must be a registry such as registry.example.com, or empty",
    },
    "tag": {
        "type": "string",
        "pattern": "^([A-Za-z0-9_][A-Za-z0-9._-]{0,127})?$",
        "says": "must be a tag such as 0.1.0, or empty",
    },
    "digest": {
        "type": "string",
        "pattern": "^(sha256:[0-9a-f]{64})?$",
        "says": "must be sha256: and 64 hexadecimal digits, or empty",
    },
    "git-url": {
        "type": "string",
        "pattern": "^((https?|ssh|file)://[^\\s]+|([A-Za-z0-9_.+-]+@)?[^@:/\\s]+:[^\\s@-][^\\s@]*)?$",
        "says": "must be a URL such as https://git.example.com/you/models.git, or "
        "git@git.example.com:you/models.git for ssh",
    },
    "git-ref": {
        "type": "string",
        "pattern": "^([^\\s~^:?*\\[\\\\/.-][^\\s~^:?*\\[\\\\]*)?$",
        "not": {"pattern": "[.][.]|@[{]|//|[.]lock$|[/.]$"},
        "says": "must be a branch, a tag or a commit",
    },
    "models": {
        "type": "array",
        "items": {"type": "string"},
        "pattern": "^-?[A-Za-z][A-Za-z0-9_-]*$",
        "not": {"pattern": "^-?[Aa][Ll][Ll]$"},
        "says": "must be names of models' folders, such as Churn, or -Churn to leave it out",
    },
    "url": {
        "type": "string",
        "writeOnly": True,
        "pattern": "^([a-z][a-z0-9+]*://[^\\s]+)?$",
        "says": "must be a URL such as postgresql://reader:password@host/name, or empty",
    },
    "postgresql": {
        "type": "string",
        "writeOnly": True,
        "pattern": "^(postgres(ql)?([+]psycopg)?://[^\\s]+)?$",
        "says": "must be a URL such as postgresql://user:password@host/name, or empty",
    },
    "http-url": {
        "type": "string",
        "pattern": "^(https?://[^\\s]+)?$",
        "says": "must be a URL such as http://minio:9000, or empty",
    },
    "s3-url": {
        "type": "string",
        "pattern": "^(s3://[^\\s/]+(/[^\\s]*)?)?$",
        "says": "must be s3://bucket or s3://bucket/prefix, or empty",
    },
    "host": {
        "type": "array",
        "items": {"type": "string"},
        "pattern": f"^([*][.])?{_HOST}$",
        "says": "must be host names such as models.example.com, without https:// and path",
    },
    "token": {
        "type": "array",
        "items": {"type": "string"},
        "writeOnly": True,
        "pattern": "^[^,\\s]+$",
        "says": "must be tokens without commas and white space",
    },
    "labels": {
        "type": "object",
        "additionalProperties": {"type": "string"},
        "pattern": f"^({_HOST}/)?{_NAME}=({_NAME})?$",
        "not": {"pattern": f"^(app[.]kubernetes[.]io/({_OURS})|helm[.]sh/chart)="},
        "says": "must be labels such as team=pricing, other than the chart's own "
        "(app.kubernetes.io/...)",
    },
    "object": {
        "type": "string",
        "pattern": f"^({OBJECT})?$",
        "says": "must be the name of a Kubernetes object: lower-case letters, digits, - and .",
    },
    "label": {
        "type": "string",
        "pattern": "^([a-z]([-a-z0-9]*[a-z0-9])?)?$",
        "says": "must be lower-case letters, digits and -, with a letter first",
    },
    "count-or-share": {
        "type": ["integer", "string"],
        "minimum": 0,
        "pattern": "^([0-9]+%?)?$",
        "says": "must be a number of pods, or a share of them such as 50%",
    },
}
"""By name: a JSON schema with what it says in words to a value that does not fit its pattern. That
of a list is the pattern of its elements, that of a mapping of each `name=value`. What is
`writeOnly` may hold a password, and is not repeated.
"""

RESOURCES: dict[str, Schema] = {
    "cpu": {
        "pattern": "^([0-9]+m|[0-9]+([.][0-9]+)?|[.][0-9]+)$",
        "says": "must be processors such as 500m or 1.5",
    },
    "memory": FORMATS["quantity"],
    "ephemeral-storage": FORMATS["quantity"],
}
"""The quantities in requests and limits of a container."""


def split(schema: Schema) -> tuple[Schema, Schema]:
    """A value's schema without what is told in words, and that: `match`, `unless` and `says`; empty
    where the schema has no words.

    A setting that may be unset is a choice between "" and something else.
    """
    choices = schema.get("anyOf")
    if choices and choices[0] == {"const": ""} and "says" in choices[1]:
        kept, told = split(choices[1])
        rest = {name: below for name, below in schema.items() if name != "anyOf"}
        return {**kept, **rest}, {**told, "match": f"^$|{told['match']}"}
    if "says" not in schema:
        return schema, {}
    told = {"match": schema.get("pattern", ""), "says": schema["says"]}
    if schema.get("type") in ("array", "object"):
        told["several"] = True
    if schema.get("writeOnly"):
        told["secret"] = True
    if refused := schema.get("not"):
        told["unless"] = refused.get("pattern") or "^({})$".format(
            "|".join(map(re.escape, refused["enum"]))
        )
    return {
        name: below for name, below in schema.items() if name not in {"pattern", "not", "says"}
    }, told
