"""Converts money with the rates in rates.csv: extract and transform, no model at all."""

import csv
from bisect import bisect_right
from collections import defaultdict
from datetime import date
from typing import Literal

Currency = Literal["EUR", "USD", "GBP", "CHF", "JPY"]


class NoRate(Exception):
    """Rejects a request: with a status code from 400 to 499 it is the client's fault."""

    status_code = 422


class Exchange:
    def __init__(self, path):
        self.rates = self.extract(path + "rates.csv")

    def extract(self, file):
        """All rates per euro: {currency: [(date, rate), ...]}, oldest first."""
        rates = defaultdict(list)
        with open(file, newline="") as lines:
            for row in csv.DictReader(lines):
                rates[row["currency"]].append(
                    (date.fromisoformat(row["date"]), float(row["per_eur"]))
                )
        return {currency: sorted(history) for currency, history in rates.items()}

    def rate(self, currency, on):
        """The last rate published up to that day (the newest one without a day)."""
        if currency == "EUR":
            return 1.0
        history = self.rates[currency]
        known = bisect_right(history, on, key=lambda entry: entry[0]) if on else len(history)
        if not known:
            raise NoRate(f"no {currency} rate before {history[0][0]}")
        return history[known - 1][1]

    def transform_predict(
        self, amount: float, source: Currency, target: Currency = "EUR", on: date | None = None
    ):
        """The amount in another currency, on a day or with the newest rate."""
        rate = self.rate(target, on) / self.rate(source, on)
        return {"amount": round(amount * rate, 2), "currency": target, "rate": round(rate, 6)}
