"""Which files make an environment, and what they may name."""

from __future__ import annotations

from pathlib import Path

import pytest

from modelsync.environments.requirements import Requirements, below, find
from modelsync.models.types import Fault
from tests.environments.making import found_in, requirements
from tests.fixtures.index import wheel

INDEX = "--index-url"
PROJECT = '[project]\nname = "p"\nversion = "0"\nrequires-python = ">=3.11"\n'


@pytest.mark.parametrize("text", ["", "\n\n", "# pandas\n  # numpy\n", f"{INDEX} https://x/y\n"])
def test_a_file_that_asks_for_nothing_makes_no_environment(tmp_path: Path, text: str) -> None:
    """An empty file keeps a folder with the libraries of the service."""
    assert requirements(tmp_path, requirements__txt=text).is_empty


def test_a_folder_without_requirements_has_none(tmp_path: Path) -> None:
    """A pyproject.toml alone configures tools; a .python-version alone is for those of a person."""
    assert find(below(tmp_path)) is None
    (tmp_path / ".python-version").write_text("3.99")
    assert found_in(tmp_path, pyproject__toml=PROJECT) is None


def test_comments_do_not_change_what_is_asked_for(tmp_path: Path) -> None:
    """So that an explanation builds nothing; a version does."""
    (tmp_path / "pins.txt").write_text("lemon<2")
    texts = ["six==1.0\n", "# why\n\nsix==1.0  # old\n", "six==1.1", "six==1.0\n-c pins.txt"]
    digests = [requirements(tmp_path, requirements__txt=text).digest for text in texts]
    assert digests[0] == digests[1]
    assert len(set(digests)) == 3


def test_files_that_are_named_belong_to_it(tmp_path: Path) -> None:
    """`-r` and `-c` of `-r`, a wheel, a folder of wheels; a change in one of them counts."""
    (tmp_path / "more").mkdir()
    (tmp_path / "wheels").mkdir()
    (tmp_path / "more" / "base.txt").write_text("-c pins.txt\nsix\n")
    (tmp_path / "more" / "pins.txt").write_text("six<2\n")
    (tmp_path / "wheels" / "lemon-1.0-py3-none-any.whl").write_bytes(wheel("lemon", "1.0"))
    text = "-r more/base.txt\n--find-links ./wheels\nlemon @ ./wheels/lemon-1.0-py3-none-any.whl\n"
    found = requirements(tmp_path, requirements__txt=text)
    assert sorted(found.files) == [
        "more/base.txt", "more/pins.txt", "requirements.txt", "wheels/lemon-1.0-py3-none-any.whl",
    ]  # fmt: skip
    (tmp_path / "wheels" / "lemon-1.0-py3-none-any.whl").write_bytes(wheel("lemon", "1.0", "x = 1"))
    assert requirements(tmp_path).digest != found.digest


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ("-e .\n", 1, "an editable package is not installed"),
        ("six\n--editable ./pkg\n", 2, "an editable package is not installed"),
        ("six\n\n-r ../base.txt\n", 3, "../base.txt lies outside of the folder"),
        ("-c /etc/pins.txt\n", 1, "/etc/pins.txt lies outside of the folder"),
        ("-r none.txt\n", 1, "none.txt does not exist"),
        ("./wheels/x-1-py3-none-any.whl\n", 1, "wheels/x-1-py3-none-any.whl does not exist"),
        ("~/x.whl\n", 1, "~/x.whl lies outside of the folder"),
        ("six\n./code\n", 2, "./code is a folder, and only files are installed"),
        (".\n", 1, ". is a folder, and only files are installed"),
        ("numpy @ file:///croot/numpy_and_numpy_base\n", 1, "names a file of one machine"),
        ("six \\\n  ==1 \\\n  --hash=sha256:ab\n../x.whl\n", 4, "../x.whl lies outside"),
    ],
)
def test_what_is_not_in_the_folder_is_refused(
    tmp_path: Path, text: str, line: int, reason: str
) -> None:
    """With the line, the reason and what to do."""
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "setup.py").touch()
    fault = found_in(tmp_path, requirements__txt=text)
    assert isinstance(fault, Fault)
    assert (fault.stage, fault.file, fault.line) == ("environment", "requirements.txt", line)
    assert fault.message.startswith(reason)
    assert fault.hint


@pytest.mark.parametrize(
    "line",
    [
        "six",
        "requests[socks]>=2",
        "pkg @ https://example.org/pkg-1.0-py3-none-any.whl",
        "git+https://example.org/pkg.git@v1",
        "-r https://example.org/base.txt",
        f"{INDEX} https://example.org/simple",
        'six==1.16 ; python_version < "4"',
    ],
)
def test_what_uv_can_take_is_left_to_it(tmp_path: Path, line: str) -> None:
    """Names, markers and addresses are no paths."""
    assert list(requirements(tmp_path, requirements__txt=f"{line}\n").files) == ["requirements.txt"]


def test_windows_editors_are_read(tmp_path: Path) -> None:
    """`pip freeze > requirements.txt` in PowerShell writes UTF-16; other editors a BOM and CRLF."""
    for encoding in ("utf-16", "utf-8-sig"):
        (tmp_path / "requirements.txt").write_bytes("six==1.16\r\n".encode(encoding))
        found = find(below(tmp_path))
        assert isinstance(found, Requirements)
        assert [line.text for line in found.lines()] == ["six==1.16"]
    (tmp_path / "requirements.txt").write_bytes(b"six # caf\xe9\n")
    fault = find(below(tmp_path))
    assert isinstance(fault, Fault)
    assert fault.message == "is not UTF-8"


def test_a_python_is_asked_for(tmp_path: Path) -> None:
    """By .python-version, else by requires-python; requirements.txt comes before uv.lock."""
    found = requirements(tmp_path, pyproject__toml=PROJECT, uv__lock="version = 1\n")
    assert (found.kind, found.python, found.python_file) == ("lock", ">=3.11", "pyproject.toml")
    assert found.is_empty  # the project needs nothing
    (tmp_path / ".python-version").write_text("# ours\n3.12.1\n3.11\n")
    found = requirements(tmp_path, requirements__txt="six\n")
    assert (found.kind, found.python) == ("requirements", "3.12.1")


def test_links_out_of_the_folder_are_not_followed(tmp_path: Path) -> None:
    """Neither one in the place of a file nor one on the way to it."""
    (tmp_path / "secret.txt").write_text("six")
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "base.txt").symlink_to(tmp_path / "secret.txt")
    fault = found_in(tmp_path / "model", requirements__txt="-r base.txt\n")
    assert isinstance(fault, Fault)
    assert fault.message == "base.txt does not exist"
