"""The settings of compiled models."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from modelsync.settings import parsers
from modelsync.settings.definition import setting

Compiling = Literal["auto", "off"]


@dataclass(frozen=True, slots=True)
class CompileSettings:
    """Compiled forms of scikit-learn's, XGBoost's and LightGBM's models, which answer in their
    place where that is proven to be the same.
    """

    mode: Compiling = setting(
        "MODELSYNC_COMPILE",
        "auto",
        parsers.choice(Compiling),
        "`auto` compiles each model that can be, and serves what is equal and faster; `off`: none",
    )
    timeout: float = setting(
        "MODELSYNC_COMPILE_TIMEOUT",
        30.0,
        parsers.seconds,
        "time that one sync waits for all its models to be compiled; what takes longer is compiled "
        "after it has been published, where one model may take ten times as long, and serves later",
        shown="30s",
    )
    tolerance: float = setting(
        "MODELSYNC_COMPILE_TOLERANCE",
        1e-6,
        parsers.positive,
        "largest relative difference of a probability or a number from the uncompiled model's, "
        "with which a compiled one is served; labels are always equal",
        shown="0.000001",
    )
