"""The libraries and the processor with which compiled forms were made and proven.

A form is proven for these only, and serves nowhere else: after an upgrade, or in a pod on another
kind of machine, the estimator answers until the next sync has compiled it again.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import platform
from functools import cache
from pathlib import Path

FORM = 1
"""The number of the layout of a compiled form. Another one was written by another modelsync."""

LIBRARIES = (
    "numpy", "scipy", "pandas", "scikit-learn", "xgboost", "xgboost-cpu", "lightgbm",
    "onnx", "onnxruntime", "onnxmltools", "skl2onnx",
)  # fmt: skip
"""What decides how an estimator and its compiled form compute."""

_FILE = "fingerprint"


@cache
def fingerprint() -> str:
    """Return the digest of this Python, its libraries, this machine and the layout of forms."""
    parts = [str(FORM), platform.python_version(), platform.machine(), _processor()]
    parts += [f"{name}=={_version(name)}" for name in LIBRARIES]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def write(folder: Path) -> None:
    """Note in the folder of a model's compiled forms where they were made. Raises OSError."""
    (folder / _FILE).write_text(fingerprint(), "ascii")


def is_from_here(folder: Path) -> bool:
    """Whether a model's compiled forms were made with the libraries and the processor of here."""
    try:
        return (folder / _FILE).read_text("ascii") == fingerprint()
    except (OSError, UnicodeDecodeError):
        return False


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _processor() -> str:
    """Return what the processor can do: libraries choose their instructions by it."""
    try:
        lines = Path("/proc/cpuinfo").read_text("ascii", "replace").splitlines()
    except OSError:  # not Linux
        return platform.processor()
    return next((line for line in lines if line.startswith(("flags", "Features"))), "")
