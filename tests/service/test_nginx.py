"""Behind nginx, which keeps its connections to the service: a swap is not seen by its clients."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fixtures.load import load
from tests.fixtures.nginx import nginx, program
from tests.fixtures.service import answers, serving, write_example, write_model
from tests.service.test_swap import BODY, Truth, swap_to

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(program() is None, reason="nginx is not installed"),
]


def test_swaps_behind_nginx_give_no_502(tmp_path: Path) -> None:
    """24 clients through nginx with upstream keep-alive, several swaps: every answer is a 200 of
    one release.
    """
    models = tmp_path / "models"
    write_example(write_model(models, "Model", answers(0)), {})
    truth = Truth()
    with serving(tmp_path, models) as service, nginx(tmp_path, service.port) as port:
        truth.learn(service, 0)
        with load(port, "/models/Model", BODY, connections=24, check=truth.check) as tally:
            for value in range(1, 4):
                swap_to(service, models, value)
                truth.learn(service, value)
        assert tally.failures == []
        assert tally.answered > 500
