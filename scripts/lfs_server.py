"""Finds giftless, the Git LFS server of the tests; `python -m scripts.lfs_server` (`make
lfs-server`) installs it once, into an environment of its own in the user's cache.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

from scripts.cached_environment import CachedEnvironment

VERSION = "0.6.2"

# giftless declares no dependencies; these are what it imports, and what those need.
PINNED = (
    f"giftless=={VERSION}",
    "blinker==1.9.0",
    "cachetools==8.0.2",
    "click==8.5.1",
    "figcan==0.0.4",
    "flask==3.1.3",
    "flask-classful==0.16.0",
    "flask-marshmallow==1.5.0",
    "gunicorn==27.0.1",
    "itsdangerous==2.2.0",
    "jinja2==3.1.6",
    "markupsafe==3.0.4",
    "marshmallow==4.4.0",
    "packaging==26.4",
    "pyjwt==2.15.1",
    "python-dateutil==4.0.0",
    "python-dotenv==1.2.4",
    "pyyaml==6.0.3",
    "typing-extensions==4.16.0",
    "tzdata==2026.6",
    "webargs==8.7.1",
    "werkzeug==3.1.9",
)

ENVIRONMENT = CachedEnvironment(
    f"giftless-{VERSION}",
    hashlib.sha256("\n".join((*PINNED, sys.version)).encode()).hexdigest(),
    ("install", "--no-deps", *PINNED),
)


def python() -> Path | None:
    """The Python of its environment; None if it is not installed, or not as it is pinned."""
    return ENVIRONMENT.python()


if __name__ == "__main__":
    ENVIRONMENT.build()
