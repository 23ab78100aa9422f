"""Which paths an alias may have: none that is one of ours."""

from __future__ import annotations

from modelsync.errors import SettingsError
from modelsync.models.convention import RESERVED
from modelsync.settings import Settings
from modelsync.settings.aliases import Alias

PROBES = frozenset({"livez", "readyz", "metrics"})


def check_aliases(settings: Settings) -> tuple[Alias, ...]:
    """Return the aliases. Raises SettingsError if one has a path of the service itself.

    Whether its model exists is not checked: models come and go with commits.
    """
    base = settings.server.base_url
    for alias in settings.training.aliases:
        first, _, rest = alias.path.lstrip("/").partition("/")
        below = f"{alias.path}/".startswith(f"/{base}/") if base else first.lower() in RESERVED
        if below or (first in PROBES and not rest):
            raise SettingsError(
                f"MODELSYNC_ALIASES: {alias.path} is a URL of the service itself; choose another"
            )
    return settings.training.aliases
