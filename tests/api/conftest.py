from __future__ import annotations

from pathlib import Path

import pytest
from flask.testing import FlaskClient

from modelsync.api.app import create_app
from tests.api.serving import a_service


@pytest.fixture
def client(tmp_path: Path) -> FlaskClient:
    """A client of a service without tokens."""
    return create_app(a_service(tmp_path)).test_client()
