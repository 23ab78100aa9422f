"""From the scores that a form computes to what its estimator answers: probabilities and labels."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from modelsync.models.forms.compiled_model import Computed, NotProven

Link = Literal["identity", "exp", "share", "sigmoid", "softmax", "one_vs_rest"]
"""How scores become numbers: `share`: divided by `Finish.divisor`, the part of class 1 if there is
one score for two classes; `one_vs_rest`: a sigmoid of each, then divided by their sum.
"""

TIE = 1e-9
"""Two scores that are nearer to each other than this may be in the other order when they are summed
in another one: the estimator then chooses the label.
"""

LEAST = -700.0
"""A score below which the exponential of its negative is too large a number."""

Row = Any
"""The scores of a row: one number, or a list of several."""


@dataclass(frozen=True, slots=True)
class Finish:
    """What is done with the scores of each row, which is one number or a list of them.

    `answers`: `predictions` are the numbers themselves, or of a classifier without probabilities
    the labels; `scores`: probabilities; `both`: labels and probabilities. `labels`: the classes of
    a classifier, () if numbers are answered. `divisor`: of `share`. `tie`: scores nearer to each
    other than this are not proven; 0 where sums are exact. `base`: what is added to each score.
    """

    answers: Literal["predictions", "scores", "both"]
    link: Link = "identity"
    labels: tuple[Any, ...] = ()
    divisor: float = 1.0
    tie: float = TIE
    base: tuple[float, ...] = ()

    @classmethod
    def from_json(cls, facts: Mapping[str, Any]) -> Finish:
        """Return what `dataclasses.asdict` was given."""
        lists = {name: tuple(facts[name]) for name in ("labels", "base")}
        return cls(**{**facts, **lists})

    def with_base(self, rows: Sequence[Row]) -> list[Row]:
        """Return scores with the base added."""
        if len(self.base) == 1:
            (base,) = self.base
            return [score + base for score in rows]
        return [
            [score + base for score, base in zip(scores, self.base, strict=True)] for scores in rows
        ]

    def function(self) -> Callable[[Sequence[Row]], Computed]:
        """Return the function that makes answers of scores. It raises NotProven for a tie."""
        link = _link(self)
        place = _binary(self.link, self.divisor, self.tie) if self._is_binary else _many(self.tie)
        labels = self.labels
        if not labels:
            return lambda rows: Computed(link(rows), None)
        if self.answers == "scores" and self.link == "sigmoid":
            return _of_two(self.tie)
        if self.answers == "predictions":
            return lambda rows: Computed([labels[one] for one in place(rows)], None)
        if self.answers == "both":
            return lambda rows: Computed([labels[one] for one in place(rows)], link(rows))

        def scores(rows: Sequence[Row]) -> Computed:
            place(rows)
            return Computed(None, link(rows))

        return scores

    @property
    def _is_binary(self) -> bool:
        return len(self.labels) == 2 and self.link not in ("softmax", "one_vs_rest")


def _of_two(tie: float) -> Callable[[Sequence[Row]], Computed]:
    """Return the function that makes the probabilities of two classes: the common case, faster."""
    exp = math.exp

    def scores(rows: Sequence[Row]) -> Computed:
        found = []
        for score in rows:
            if -tie < score < tie:
                raise NotProven("a tie")
            part = 1.0 / (1.0 + exp(-score)) if score >= LEAST else exp(score)
            found.append([1.0 - part, part])
        return Computed(None, found)

    return scores


def _binary(link: Link, divisor: float, tie: float) -> Callable[[Sequence[Row]], list[int]]:
    """Return the function that gives the class of each row by one score: 0, or 1 if it is more than
    the middle.
    """
    middle = divisor / 2 if link == "share" else 0.0

    def places(rows: Sequence[Row]) -> list[int]:
        found = []
        for score in rows:
            beyond = score - middle
            if -tie < beyond < tie:
                raise NotProven("a tie")
            found.append(1 if beyond > 0 else 0)
        return found

    return places


def _many(tie: float) -> Callable[[Sequence[Row]], list[int]]:
    """Return the function that gives the place of the greatest score of each row."""

    def places(rows: Sequence[Row]) -> list[int]:
        found = []
        for scores in rows:
            *_, second, greatest = sorted(scores)
            if greatest - second < tie:
                raise NotProven("a tie")
            found.append(scores.index(greatest))
        return found

    return places


# --- links ----------------------------------------------------------------------------------------


def _link(finish: Finish) -> Callable[[Sequence[Row]], list[Any]]:
    """Return the function that makes numbers, or the probabilities of all classes, of scores."""
    divisor, exp = finish.divisor, math.exp

    def share(rows: Sequence[Row]) -> list[Any]:
        if not rows or not isinstance(rows[0], list):
            parts = [score / divisor for score in rows]
            return [[1.0 - part, part] for part in parts] if finish.labels else parts
        return [[score / divisor for score in scores] for scores in rows]

    def sigmoid(rows: Sequence[Row]) -> list[Any]:
        return [[1.0 - part, part] for part in map(expit, rows)]

    functions: dict[Link, Callable[[Sequence[Row]], list[Any]]] = {
        "identity": list,
        "exp": lambda rows: [exp(score) for score in rows],
        "share": share,
        "sigmoid": sigmoid,
        "softmax": lambda rows: list(map(_softmax, rows)),
        "one_vs_rest": lambda rows: list(map(_one_vs_rest, rows)),
    }
    return functions[finish.link]


def expit(score: float) -> float:
    """Return the logistic function of a score."""
    return 1.0 / (1.0 + math.exp(-score)) if score >= LEAST else math.exp(score)


def _softmax(scores: Sequence[float]) -> list[float]:
    greatest = max(scores)
    parts = [math.exp(score - greatest) for score in scores]
    whole = sum(parts)
    return [part / whole for part in parts]


def _one_vs_rest(scores: Sequence[float]) -> list[float]:
    parts = list(map(expit, scores))
    whole = sum(parts)
    if not whole:
        return [1.0 / len(parts)] * len(parts)
    return [part / whole for part in parts]
