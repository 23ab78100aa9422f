"""Makes the folder of a new model from a template, which serves as it is and passes its check."""

from __future__ import annotations

import keyword
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from modelsync.errors import ModelBroken
from modelsync.models.discovery.folders import name_fault
from modelsync.models.types import Fault

TEMPLATE = "new"


def create(name: str, root: Path, *, function: bool = False) -> list[Path]:
    """Make `root`/`name` with an `etls.py` and an example; return the paths of the files.

    `function`: the model is a plain function in place of a class.
    Raises ModelBroken (stage `name`), and writes nothing, if no model can have that name, or
    if a folder of that name exists, also with other upper and lower case.
    """
    fault = name_fault(name) or _taken(name, root)
    if fault:
        raise ModelBroken(fault)
    environment = Environment(  # noqa: S701 - Python, and names are of letters, digits, - and _
        loader=PackageLoader("modelsync.models.codegen", f"templates/{TEMPLATE}"),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
    )
    written = []
    for template in environment.list_templates():
        path = root / name / template.removesuffix(".j2")
        path.parent.mkdir(parents=True, exist_ok=True)
        text = environment.get_template(template).render(
            class_name=_class_name(name), function=function
        )
        path.write_text(text, "utf-8")
        written.append(path)
    return written


def _taken(name: str, root: Path) -> Fault | None:
    there = [item.name for item in root.iterdir()] if root.is_dir() else []
    twin = next((other for other in there if other.lower() == name.lower()), None)
    if twin is None:
        return None
    return Fault(
        "name",
        f"{twin} exists already in {root.name or root}",
        hint="choose another name, or remove it",
    )


def _class_name(name: str) -> str:
    """Return the name of the class for a folder: `CreditRisk` for `credit-risk`."""
    parts = [part for part in name.split("-") if part]
    joined = (
        name
        if len(parts) == 1 and name == parts[0]
        else "".join(part[0].upper() + part[1:] for part in parts)
    )
    return f"{joined}Model" if keyword.iskeyword(joined) else joined
