"""A machine on which models are trained by themselves: folders, a store, and the days."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from modelsync import settings, store
from modelsync.continuous import code
from modelsync.continuous.context import StepReport
from modelsync.continuous.pipeline import TrainingPipeline
from modelsync.models.types import ModelName
from modelsync.settings import Settings
from modelsync.store import Store
from modelsync.store.records import RunStep, TrainingRun, Trigger, Version
from modelsync.training.stop import Stop
from tests.fixtures.service import write_model
from tests.waiting import patient

MONDAY = date(2026, 11, 23)
TUESDAY, WEDNESDAY = MONDAY + timedelta(1), MONDAY + timedelta(2)

MAJORITY = """
from collections import Counter, defaultdict

class Majority(dict):
    def predict(self, x):
        return [self.get(value, self[None]) for value in x["shop"]]

def learn(pairs):
    seen, all_ = defaultdict(Counter), Counter()
    for shop, y in pairs:
        seen[shop][y] += 1
        all_[y] += 1
    best = {shop: found.most_common(1)[0][0] for shop, found in seen.items()}
    return Majority(best | {None: all_.most_common(1)[0][0]})
"""
"""The label that most rows of a shop have: it needs no library."""

SHOP = f"""
{MAJORITY}
class Shop:
    source = "sales"
    incoming = "incoming/{{date}}*.csv"
    table = "sales"
    target = "y"
    metric = "accuracy"

    def train(self, data):
        return learn(zip(data["shop"], data["y"]))
"""

SCHEMA = """
shop: {type: str, pattern: '[a-z]'}
y: {type: str, allowed: ['yes', 'no'], target: true}
"""


@dataclass
class Machine:
    """Models below `models`, data below `data`, everything else in `home`."""

    folder: Path
    values: Mapping[str, str] = field(default_factory=dict)
    told: list[tuple[str, str]] = field(default_factory=list)

    @property
    def models(self) -> Path:
        return self.folder / "models"

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def environ(self) -> dict[str, str]:
        """The settings of all its processes."""
        return {
            "MODELSYNC_HOME": str(self.folder / "home"),
            "MODELSYNC_MODELS": str(self.models),
            "MODELSYNC_DATA": str(self.data),
            **self.values,
        }

    @property
    def config(self) -> Settings:
        return settings.load(self.environ)

    @property
    def store(self) -> Store:
        return store.open(self.config)

    # --- what a user does -------------------------------------------------------------------------

    def write(self, name: str, text: str, schema: str = "") -> None:
        """Write a model's folder."""
        write_model(self.models, name, text, **({"schema__yml": schema} if schema else {}))

    def brings(self, day: date, text: str, name: str = "") -> None:
        """Put a file of a day where it comes in."""
        folder = self.data / "incoming"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{day.isoformat()}{name}.csv").write_text(text)

    def train(
        self,
        name: str = "Shop",
        day: date = MONDAY,
        only: RunStep | None = None,
        trigger: Trigger = "command",
        *,
        force: bool = False,
    ) -> TrainingRun:
        """Do what `modelsync train` does, in this process; return the run."""
        found = self.begin(name, day, only, trigger, force=force)
        assert found
        return found

    def begin(
        self,
        name: str,
        day: date,
        only: RunStep | None = None,
        trigger: Trigger = "command",
        *,
        force: bool = False,
    ) -> TrainingRun | None:
        def tell(run: TrainingRun, step: RunStep, progress: StepReport) -> None:
            self.told.append((step, progress.message))

        self.told.clear()
        config = self.config
        with code.current(config, (name,)) as found:
            pipeline = TrainingPipeline(config, store.open(config), found, Stop(), tell, force)
            return pipeline.run(ModelName(name), day, trigger, only)

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run `modelsync train` to its end."""
        return subprocess.run(
            self.line(*arguments),
            env=os.environ | self.environ,
            capture_output=True,
            text=True,
            timeout=patient(120),
            check=False,
        )

    def line(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "modelsync", "train", *arguments]

    @contextmanager
    def running(self, *arguments: str) -> Iterator[subprocess.Popen[str]]:
        """Run `modelsync train` in the background; it is killed at the end."""
        process = subprocess.Popen(
            self.line(*arguments),
            env=os.environ | self.environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        try:
            with process:
                yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)

    # --- what is there then -----------------------------------------------------------------------

    def said(self, step: RunStep) -> str:
        """What a step has told."""
        return dict(self.told).get(step, "")

    def version(self, name: str = "Shop") -> Version:
        """The version that serves."""
        record = self.store.catalog.model(name)
        assert record.current
        return self.store.catalog.version(name, f"v{record.current}")

    def runs(self, name: str = "Shop") -> list[TrainingRun]:
        return self.store.catalog.runs(name)


def sales(good: int, bad: int = 0, shops: str = "abcd") -> str:
    """Rows of a day: `good` ones that follow the rule, shops a and b sell, and `bad` ones."""
    lines = ["shop,y"]
    for number in range(good + bad):
        shop = shops[number % len(shops)]
        sells = (shop in "ab") == (number < good)
        lines.append(f"{shop},{'yes' if sells else 'no'}")
    return "\n".join(lines) + "\n"


def error_of(run: TrainingRun) -> dict[str, Any]:
    return dict(run.error or {})
