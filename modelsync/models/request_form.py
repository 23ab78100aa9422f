"""How a model takes the numbers and the rows of requests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

Digits = Literal["doubles", "integers", "decimals"]
"""How numbers of JSON are read: as doubles where 64 bits do not hold them; integers with all their
digits; fractions with more digits than a double has as `Decimal`, too.
"""


class Rows(list[Any]):
    """The `variables` of several rows of one request, or their results."""


@dataclass(frozen=True, slots=True)
class RequestForm:
    """What the signature of a model says of its requests.

    `digits`: how their numbers are read. `frame`: the method gets a DataFrame, of all rows of a
    request if that has several.
    """

    digits: Digits = "doubles"
    frame: bool = False


PLAIN = RequestForm()
