"""Why a database or S3 does not answer, in words that hold no host, user, password or path."""

from __future__ import annotations

import re

_REASONS = [
    (re.compile(pattern, re.IGNORECASE), reason)
    for pattern, reason in (
        (r"database is locked|lock timeout|not available", "others hold its lock for too long"),
        (r"statement timeout|timeout expired|timed? ?out|did not answer", "it is too slow"),
        (r"connection refused", "connection refused"),
        (r"translate host name|resolve|name or service", "its host name is unknown"),
        (r"password|authentication|role .* does not exist|pg_hba|access.?key|signature|"
         r"access.?denied|forbidden|credential|status 40[13]|user.?not.?found",
         "it refuses the user or the password"),
        (r"database .* does not exist", "there is no database of that name"),
        (r"too many (clients|connections)|connection slots|QueuePool", "no connection is free"),
        (r"starting up|shutting down|recovery mode", "it is starting or stopping"),
        (r"permission denied for", "its user lacks a permission"),
        (r"No space left|could not extend|disk is full", "its disk is full"),
        (r"disk I/O", "its disk fails"),
        (r"read-?only", "it is read-only"),
        (r"unable to open|permission denied|not a directory|exists", "its file cannot be opened"),
        (r"malformed|not a database", "its file is damaged"),
        (r"no such bucket|NO_?SUCH_?BUCKET|bucket .*not exist", "there is no such bucket"),
        (r"closed|terminat|broken|reset|lost|network|connect", "the connection broke"),
    )
]  # fmt: skip


def reason(error: BaseException) -> str:
    """Return why, by what the driver says, or the type of the error."""
    text = str(error)
    for pattern, words in _REASONS:
        if pattern.search(text):
            return words
    return type(error).__name__
