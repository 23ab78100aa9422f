"""gunicorn's own log, through the log of the service."""

from __future__ import annotations

import logging
from typing import Any

from gunicorn.glogging import Logger


class GunicornLogger(Logger):  # type: ignore[misc]
    """gunicorn's logger, which writes through ours."""

    def setup(self, cfg: Any) -> None:
        """Leave handlers and formats to `modelsync.observability.logs`.

        gunicorn's messages at each start become debugging messages.
        """
        for logger in (self.error_log, self.access_log):
            logger.handlers.clear()
            logger.propagate = True
        level = logging.getLogger().level
        self.error_log.setLevel(logging.WARNING if level == logging.INFO else level)
        self.cfg = cfg
