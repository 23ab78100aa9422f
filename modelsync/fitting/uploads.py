"""Ready files as versions: told from pickles by their content, never by their names."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path
from typing import Literal

from modelsync.errors import DataInvalid
from modelsync.fitting.messages import FitJob, FitResult
from modelsync.models import lfs_pointer

Ready = Literal["onnx", "skops"]

EXPECTED = "expected an ONNX model or a skops file"

_PACKED = {b"\x1f\x8b": "gzip", b"BZ": "bzip2", b"\xfd7": "xz", b"\x04\x22": "lz4", b"\x78": "zlib"}


def recognize(file: Path) -> Ready:
    """Return the format of an uploaded file; nothing of it is deserialised.

    Raises DataInvalid for any other, which says what it seems to be.
    """
    with file.open("rb") as opened:
        head = opened.read(64)
    if not head:
        raise DataInvalid(f"the file is empty: {EXPECTED}")
    if zipfile.is_zipfile(file):
        return _of_zip(file)
    if head[0] == 0x80 and head[1:2] <= b"\x05":
        raise DataInvalid(f"a pickle is not taken, since loading it runs its code: {EXPECTED}")
    for magic, name in _PACKED.items():
        if head.startswith(magic):
            raise DataInvalid(f"came a file packed by {name}, perhaps a pickle: {EXPECTED}")
    if lfs_pointer.is_pointer(head):
        raise DataInvalid(f"came a Git LFS pointer, not the file: {EXPECTED}")
    if head[0] == 0x08:  # field 1 of ModelProto, `ir_version`, a varint
        return "onnx"
    raise DataInvalid(f"came another file, which begins with {head[:8].hex(' ')}: {EXPECTED}")


def _of_zip(file: Path) -> Ready:
    try:
        with zipfile.ZipFile(file) as archive:
            names = set(archive.namelist())
    except (OSError, ValueError, zipfile.BadZipFile):
        raise DataInvalid(f"came a damaged zip: {EXPECTED}") from None
    if "schema.json" in names:
        return "skops"
    if any(name.endswith(".pkl") for name in names):
        raise DataInvalid(f"a pickle (of PyTorch) is not taken, since it runs code: {EXPECTED}")
    raise DataInvalid(f"came a zip that is no skops file: {EXPECTED}")


def take(job: FitJob) -> FitResult:
    """Copy the uploaded file to the output folder. Raises DataInvalid if it is none of ours."""
    from modelsync.fitting import artefact  # not for the API, which only asks `recognize`

    assert job.upload
    found = recognize(job.upload)
    file = Path(shutil.copyfile(job.upload, job.output / f"artefact.{found}"))
    return FitResult(found, file.name, artefact.digest(file), file.stat().st_size)
