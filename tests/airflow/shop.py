"""A model that trains itself, with a day's data for each way in which a day ends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from time import sleep

ETLS = '''
from pathlib import Path
from time import sleep

from sklearn.dummy import DummyRegressor


class Shop:
    """Tells what a customer spends."""

    incoming = "incoming/{date}.csv"
    table = source = "shop"
    metric = "quality"

    def train(self, data):
        while not Path("GATE").exists():
            Path("GATE.waits").touch()
            sleep(0.05)
        with open("TRAININGS", "a") as file:
            print(len(data), file=file)
        model = DummyRegressor().fit(data[["age"]], data["spent"])
        model.quality_ = float(data["quality"].min())
        return model, {"quality": model.quality_}

    def metrics(self, x, y):
        return {"quality": self.model.quality_}

    def transform_predict(self, age):
        return float(self.model.predict([[age]])[0])
'''

SCHEMA = """
age: {type: int, min: 0, max: 120}
quality: {type: int}
spent: {type: float, target: true}
"""

HEADER = "age,quality,spent\n"

Rows = Sequence[tuple[int, int, float]]

DAYS: Mapping[str, Rows] = {
    "2026-11-01": [(20 + i, 7, i / 2) for i in range(50)],
    "2026-11-02": [],  # nothing new
    "2026-11-03": [(30, 9, 4.0), (300, 9, 4.0), (-1, 9, 4.0)],  # two ages that the schema refuses
    "2026-11-04": [(40, 3, 2.0)],  # makes a version that is worse
}
"""The rows that each day brings."""


class Shop:
    """The folders of one model, and what its trainings leave there."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self.models = root / "models"
        self.data = root / "data"
        self.gate = root / "gate"
        self._trainings = root / "trainings"

    def settings(self) -> dict[str, str]:
        """Return the environment of Airflow that trains it, with short pauses."""
        return {
            "MODELSYNC_AIRFLOW_FOLDER": str(self._root),
            "MODELSYNC_AIRFLOW_RETRIES": "1",
            "MODELSYNC_AIRFLOW_RETRY_DELAY": "1",
            "MODELSYNC_DATA": str(self.data),
            "MODELSYNC_HOME": str(self._root / "home"),
            "MODELSYNC_MODELS": str(self.models),
        }

    def write(self, days: Mapping[str, Rows] = DAYS) -> None:
        """Write the model and the rows of each day. It trains as long as the gate is open."""
        folder = self.models / "Shop"
        folder.mkdir(parents=True)
        code = ETLS.replace("GATE", str(self.gate)).replace("TRAININGS", str(self._trainings))
        (folder / "etls.py").write_text(code)
        (folder / "schema.yml").write_text(SCHEMA)
        (self.data / "incoming").mkdir(parents=True)
        for date, rows in days.items():
            if rows:
                lines = (f"{age},{quality},{spent}\n" for age, quality, spent in rows)
                (self.data / "incoming" / f"{date}.csv").write_text(HEADER + "".join(lines))
        self.gate.touch()

    def waits(self) -> bool:
        """Whether a training waits before the gate now."""
        mark = self.gate.with_name("gate.waits")
        mark.unlink(missing_ok=True)
        sleep(0.5)
        return mark.exists()

    def trainings(self) -> list[int]:
        """Return the rows of each training, in order."""
        if not self._trainings.exists():
            return []
        return [int(line) for line in self._trainings.read_text().split()]
