"""The settings of a canary: a second Deployment, on which a commit proves itself first.

The first paragraph of a class's docstring is the title of its table in the README.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from modelsync.settings import parsers
from modelsync.settings.definition import setting

Decides = Literal["nothing", "drop", "both"]


@dataclass(frozen=True, slots=True)
class Canary:
    """The canary of `modelsync rollout`: a second Deployment, `<Deployment>-canary`, that follows
    another ref.
    """

    ref: str = setting(
        "MODELSYNC_CANARY_REF",
        "",
        parsers.text,
        "branch, tag or commit that the canary follows; unset: there is none",
    )
    decides: Decides = setting(
        "MODELSYNC_CANARY_DECIDES",
        "nothing",
        parsers.choice(Decides),
        "what the rule below decides over a canary's commit by itself: `drop`, `both` to drop or "
        "promote it, or `nothing`",
    )
    requests: int = setting(
        "MODELSYNC_CANARY_REQUESTS",
        1000,
        parsers.integer(1, 1_000_000_000),
        "least number of requests to the canary before its commit is promoted, and out of which "
        "the shares below are taken",
    )
    after: float = setting(
        "MODELSYNC_CANARY_AFTER",
        600.0,
        parsers.seconds,
        "time that a commit must have been ready in all pods of the canary before it is promoted",
        shown="10m",
    )
    error_rate: float = setting(
        "MODELSYNC_CANARY_ERROR_RATE",
        0.01,
        parsers.share,
        "share of a model's requests that may fail beyond that of the stable pods",
    )
    slower: float = setting(
        "MODELSYNC_CANARY_SLOWER",
        1.5,
        parsers.positive,
        "how many times the stable pods' 99th percentile of a model's durations may be",
    )
    different: float = setting(
        "MODELSYNC_CANARY_DIFFERENT",
        0.01,
        parsers.share,
        "share of a model's mirrored requests whose answer may be different",
    )
