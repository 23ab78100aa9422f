"""A service whose models train by themselves: by `PUT` without a body, and by the command."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.continuous.machine import MAJORITY, MONDAY, SCHEMA, SHOP, TUESDAY, Machine, sales
from tests.fixtures.service import Service, serving
from tests.trained.client import TRAIN, Client
from tests.waiting import until

pytestmark = pytest.mark.training

FIT = f"""
{MAJORITY}
class Fit:
    source = "sales.csv"
    target = "y"

    def fit(self, x, y):
        return learn(zip(x["shop"], y))
"""


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Machine:
    made = Machine(tmp_path_factory.mktemp("service"), {"MODELSYNC_TRAIN_TOKENS": TRAIN})
    made.write("Shop", SHOP, SCHEMA)
    made.write("Fit", FIT)
    made.data.mkdir()
    (made.data / "sales.csv").write_text(sales(60))
    return made


@pytest.fixture(scope="module")
def service(machine: Machine) -> Iterator[Service]:
    settings = {k: v for k, v in machine.environ.items() if k != "MODELSYNC_HOME"}
    with serving(machine.folder, machine.models, env=settings) as running:
        yield running


def test_put_without_a_body_fits_on_the_declared_source(service: Service, machine: Machine) -> None:
    client = Client(service)
    wait = {"Prefer": "wait=100"}
    made = client.call("PUT", "Fit", headers=wait).json()
    assert made["metadata"]["state"] == "done", made
    assert (made["metadata"]["kind"], made["metadata"]["source"]) == ("fit", "sales.csv")
    assert made["response"]["metrics"] == {"accuracy": 1.0}
    again = client.call("PUT", "Fit", headers=wait).json()
    assert again["name"] == made["name"]  # the same data trains nothing twice
    (machine.data / "sales.csv").write_text(sales(60, 20))
    other = client.call("PUT", "Fit", headers=wait).json()
    compared = other["response"]["comparison"]
    assert compared["version"] == made["response"]["version"]
    assert 0 < compared["old"]["accuracy"] <= 1


def test_the_command_has_the_service_train_and_clients_see_it(
    service: Service, machine: Machine, tmp_path: Path
) -> None:
    machine.brings(MONDAY, sales(40))
    done = machine.command("Shop", "--date", MONDAY.isoformat())
    assert done.returncode == 0, done.stderr
    assert "it runs here" not in done.stderr
    client = Client(service)
    body = {"x": {"shop": ["a", "d"]}}

    def answered() -> bool:
        return bool(client.call("POST", "Shop", body).json() == {"y": ["yes", "no"]})

    until(answered, 30)
    machine.brings(TUESDAY, "shop,y\nnothing,perhaps\n")
    refused = machine.command("Shop", "--date", TUESDAY.isoformat())
    assert refused.returncode == 1
    assert answered()
