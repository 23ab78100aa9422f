"""The settings of shadow requests."""

from __future__ import annotations

from dataclasses import dataclass

from modelsync.settings import parsers
from modelsync.settings.definition import setting


@dataclass(frozen=True, slots=True)
class ShadowSettings:
    """Shadow requests: a candidate gets predictions too, and its answers are compared."""

    url: str = setting(
        "MODELSYNC_SHADOW_URL",
        "",
        parsers.service_url,
        "URL, without `baseUrl`, of a service that gets a copy of predictions after they are "
        "answered, such as http://modelsync-canary, and the clients' tokens where predictions need "
        "one; empty: none",
        shown="",
    )
    rate: float = setting(
        "MODELSYNC_SHADOW_RATE",
        1.0,
        parsers.share,
        "share of the predictions that it gets, from 0 to 1, such as 0.1",
        shown="1",
    )

    @property
    def on(self) -> bool:
        """Whether any prediction is copied."""
        return bool(self.url) and self.rate > 0
