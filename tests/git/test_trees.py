"""Hostile and odd trees: nothing executes, nothing outside the tree is read or written, the
offender is named.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from modelsync.deadline import Deadline
from modelsync.git.mirror import Mirror
from modelsync.git.tree import Export
from modelsync.settings import Git
from tests.fixtures.git import Entry, Files, GitServer, executable, link, submodule
from tests.waiting import patient


def export(server: GitServer, folder: Path) -> Export:
    """Export the tip into folder/out."""
    mirror = Mirror(folder / "home", Git(path=server.url, protocols=frozenset({"http"})))
    deadline = Deadline(patient(30))
    commit = mirror.resolve(deadline)
    mirror.fetch(commit, deadline)
    return mirror.export(commit, folder / "out", deadline)


def files(folder: Path) -> set[str]:
    """Everything that is no folder, links included, relative to it."""
    return {
        str(item.relative_to(folder))
        for item in folder.rglob("*")
        if item.is_symlink() or not item.is_dir()
    }


@pytest.mark.parametrize(
    ("bad", "offender"),
    [
        ({"Churn/x": link("/etc/passwd")}, "x"),
        ({"Churn/x": link("../../../../etc/passwd")}, "x"),
        ({"Churn/x": link("../Iris/etls.py")}, "x"),
        ({"Churn/x": link("..")}, "x"),
        ({"Churn/deep/x": link("../../Iris")}, "deep/x"),
        ({"Churn/d/e/up": link("../.."), "Churn/x": link("d/e/up/../../home")}, "x"),
        ({"Churn/lib": submodule()}, "lib"),
        ({"Churn/" + "n" * 256: "x"}, "n" * 256),
    ],
)
def test_the_offender_is_named_and_only_its_model_is_refused(
    server: GitServer, tmp_path: Path, bad: Files, offender: str
) -> None:
    """A link that leaves the model's folder, a submodule, an impossible name: not created, named;
    others unaffected.
    """
    server.push(bad)
    result = export(server, tmp_path)
    assert result.folders == ("Churn", "Iris")
    assert list(result.problems) == ["Churn"]
    assert [fault.file for fault in result.problems["Churn"]] == [offender]
    assert files(tmp_path / "out") == {"Churn/etls.py", "Iris/etls.py"} | (
        {"Churn/d/e/up"} if "Churn/d/e/up" in bad else set()
    )


@pytest.mark.parametrize("bad", [link("../../etc"), link("Iris"), submodule()])
def test_what_stands_in_the_place_of_a_folder_is_named(
    server: GitServer, tmp_path: Path, bad: Entry
) -> None:
    """A link or a submodule beside the models is none of them, is not followed, and is reported by
    its name.
    """
    server.push({"Fraud": bad, ".hidden": link("/"), ".tools/x": link("/")})
    result = export(server, tmp_path)
    assert list(result.problems) == ["Fraud"]
    assert files(tmp_path / "out") == {"Churn/etls.py", "Iris/etls.py"}


def test_links_within_a_model_are_kept(server: GitServer, tmp_path: Path) -> None:
    """A link to a sibling, through another link, to nothing yet, or in a circle harms nobody and
    stays.
    """
    links = {
        "Churn/a": link("etls.py"), "Churn/sub/b": link("../etls.py"), "Churn/c": link("sub"),
        "Churn/d": link("c/b"), "Churn/none": link("nowhere"), "Churn/e": link("f"),
        "Churn/f": link("e"),
    }  # fmt: skip
    server.push({**links, "Churn/sub/file": "x"})
    result = export(server, tmp_path)
    assert result.problems == {}
    assert files(tmp_path / "out/Churn") == {name.removeprefix("Churn/") for name in links} | {
        "etls.py",
        "sub/file",
    }
    assert (tmp_path / "out/Churn/d").read_text() == "churn = 1\n"


def test_names_that_look_like_options_or_lines(server: GitServer, tmp_path: Path) -> None:
    """A newline, a leading dash, quotes, spaces, bytes that are no UTF-8: written as they are,
    nothing is executed.
    """
    odd = [
        "-rf",
        "--upload-pack=touch x",
        "new\nline",
        "$(touch x)",
        "two  words ",
        "'\"`",
        "é",
        os.fsdecode(b"\xff"),
        ":x",
    ]
    server.push(
        {f"Churn/{name}": name.encode("utf-8", "surrogateescape") for name in odd}
        | {"-x/etls.py": "x"}
    )
    result = export(server, tmp_path)
    assert result.problems == {}
    assert result.folders == ("-x", "Churn", "Iris")
    assert files(tmp_path / "out/Churn") == {*odd, "etls.py"}
    assert (tmp_path / "out/Churn/new\nline").read_text() == "new\nline"


def test_a_folder_whose_name_is_no_text_is_refused(server: GitServer, tmp_path: Path) -> None:
    """It cannot be a model, since it cannot be in a URL or in JSON; the report shows its bytes."""
    server.push({os.fsdecode(b"bad\xff/etls.py"): "x"})
    result = export(server, tmp_path)
    assert list(result.problems) == ["bad\\xff"]
    assert result.folders == ("Churn", "Iris")


def test_filters_and_attributes_do_not_take_part(server: GitServer, tmp_path: Path) -> None:
    """`.gitattributes` asks for a filter, for line endings and for `ident`: the bytes are those
    that were committed.
    """
    attributes = "* text eol=crlf ident filter=evil\n*.bin export-ignore\n"
    server.push({
        ".gitattributes": attributes, "Churn/.gitattributes": attributes,
        "Churn/text": b"a\n$Id$\n",
        "Churn/x.bin": b"kept", ".gitmodules": '[submodule "x"]\n\tpath = x\n'
                                               '\turl = ext::touch x\n',
    })  # fmt: skip
    assert export(server, tmp_path).problems == {}
    assert (tmp_path / "out/Churn/text").read_bytes() == b"a\n$Id$\n"
    assert (tmp_path / "out/Churn/x.bin").read_bytes() == b"kept"


def test_hooks_of_the_mirror_do_not_run(server: GitServer, tmp_path: Path) -> None:
    """Whoever can write a hook into the mirror, or a command into its configuration, still gets
    nothing executed.
    """
    export(server, tmp_path)
    mirror = tmp_path / "home/repo.git"
    (mirror / "hooks").mkdir(exist_ok=True)
    for name in (
        "reference-transaction",
        "post-checkout",
        "pre-auto-gc",
        "post-update",
        "fsmonitor-watchman",
    ):
        (mirror / "hooks" / name).write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
        (mirror / "hooks" / name).chmod(0o755)
    with (mirror / "config").open("a") as config:
        config.write(
            f'[core]\n\thooksPath = {mirror}/hooks\n\tfsmonitor = "touch {tmp_path}/ran"\n'
        )
        config.write(f'[credential]\n\thelper = "!touch {tmp_path}/ran"\n')
    server.user, server.password = "u", "p"
    with pytest.raises(Exception, match="credentials"):
        export(server, tmp_path)
    server.password = ""
    server.push({"Churn/etls.py": "churn = 2"})
    export(server, tmp_path)
    assert (tmp_path / "out/Churn/etls.py").read_text() == "churn = 2"
    assert not (tmp_path / "ran").exists()


def test_an_lfs_pointer_stays_a_pointer(server: GitServer, tmp_path: Path) -> None:
    """Nothing replaces it, so that the static check finds it and says what it is."""
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 12345\n"
    server.push(
        {
            ".gitattributes": "*.pkl filter=lfs diff=lfs merge=lfs -text\n",
            "Churn/model.pkl": pointer,
        }
    )
    assert export(server, tmp_path).problems == {}
    assert (tmp_path / "out/Churn/model.pkl").read_text() == pointer


@pytest.mark.parametrize("name", [b"..", b".", b".git", b".GIT"])
def test_a_forged_tree_cannot_climb(server: GitServer, tmp_path: Path, name: bytes) -> None:
    """Nothing is written through entries that git would not make: `..`, `.git`, as folders."""
    inner = bytes.fromhex(server.git("rev-parse", "main:Churn"))
    forged = server.git(
        "hash-object",
        "-t",
        "tree",
        "-w",
        "--stdin",
        "--literally",
        stdin=b"40000 " + name + b"\0" + inner,
    )
    good = server.git("rev-parse", "main:Iris")
    server.commit_raw_tree(
        [("40000", name, inner.hex()), ("40000", b"Evil", forged), ("40000", b"Iris", good)]
    )
    result = export(server, tmp_path)
    assert result.folders == ("Iris",)
    assert "Evil" in result.problems
    assert files(tmp_path / "out") == {"Iris/etls.py"}
    assert sorted(item.name for item in tmp_path.iterdir()) == ["home", "out", "repository.git"]


def test_a_forged_tree_cannot_write_through_a_link(server: GitServer, tmp_path: Path) -> None:
    """One name that is a link and a folder at once: nothing is written where the link points."""
    (tmp_path / "outside").mkdir()
    aim = server.blob(str(tmp_path / "outside"))
    inner = server.git("rev-parse", "main:Churn")
    twice = b"".join(
        mode + b" x\0" + bytes.fromhex(sha)
        for mode, sha in ((b"120000", aim), (b"40000", inner), (b"100644", aim))
    )
    forged = server.git("hash-object", "-t", "tree", "-w", "--stdin", "--literally", stdin=twice)
    good = server.git("rev-parse", "main:Iris")
    server.commit_raw_tree([("40000", b"Evil", forged), ("40000", b"Iris", good)])
    result = export(server, tmp_path)
    assert list((tmp_path / "outside").iterdir()) == []
    assert list(result.problems) == ["Evil"]
    assert "Iris/etls.py" in files(tmp_path / "out")


def test_permissions_are_those_of_git(server: GitServer, tmp_path: Path) -> None:
    """A file keeps its executable bit; setuid and the like cannot come from a repository."""
    server.push(
        {"Churn/run": executable("x"), "Churn/plain": "x", "Churn/old": Entry("100644", b"x")}
    )
    export(server, tmp_path)
    assert (tmp_path / "out/Churn/run").stat().st_mode & 0o7700 == 0o700
    assert (tmp_path / "out/Churn/plain").stat().st_mode & 0o7700 == 0o600


def test_what_lies_beside_the_models_is_known_by_name(server: GitServer, tmp_path: Path) -> None:
    """The export names what is beside the models and at the top, and writes none of it."""
    server.push(
        {"models/Churn/etls.py": "", "models/near.py": "", "common/deep/x.py": "", "shared.py": ""}
    )
    mirror = Mirror(
        tmp_path / "home", Git(path=server.url, protocols=frozenset({"http"}), subdir="models")
    )
    mirror.fetch(commit := mirror.resolve(Deadline(patient(30))), Deadline(patient(30)))
    found = mirror.export(commit, tmp_path / "out", Deadline(patient(30)))
    assert {"Churn/", "near.py", "models/", "common/", "shared.py"} <= found.beside
    assert "deep/" not in found.beside
    assert files(tmp_path / "out") == {"Churn/etls.py"}
