"""What a program has logged with MODELSYNC_LOG_FORMAT=json: a record in each line, among what
libraries print.
"""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

Record = dict[str, Any]


def records(log: str, **fields: Any) -> list[Record]:
    """The records that have these fields, in order."""
    found = []
    for line in log.splitlines():
        with suppress(ValueError):
            record = json.loads(line)
            if all(record.get(key) == value for key, value in fields.items()):
                found.append(record)
    return found
