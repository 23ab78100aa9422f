"""What may be followed: URLs and refs are refused before anything runs, in words that hold no
secret.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from modelsync.errors import SettingsError
from modelsync.git.mirror import Mirror
from modelsync.git.url import origin, parse, ssh_address, validate
from modelsync.settings import Git

ALL = frozenset({"https", "ssh", "http", "file"})


@pytest.mark.parametrize(
    ("url", "protocol", "host"),
    [
        ("https://git.example.org/team/models.git", "https", "git.example.org"),
        ("https://git.example.org:8443/models", "https", "git.example.org:8443"),
        ("https://[::1]:8443/models", "https", "[::1]:8443"),
        ("ssh://git@git.example.org:2222/models.git", "ssh", "git.example.org:2222"),
        ("git@git.example.org:team/models.git", "ssh", "git.example.org"),
        ("git.example.org:models.git", "ssh", "git.example.org"),
    ],
)
def test_allowed_by_default(url: str, protocol: str, host: str) -> None:
    """HTTPS and ssh, also as `user@host:path`."""
    git = Git(path=url, ssh_key_file=Path("key"))
    validate(git)
    assert (parse(git).url, parse(git).protocol, parse(git).host) == (url, protocol, host)


@pytest.mark.parametrize(
    ("url", "protocol"),
    [("http://h/x", "http"), ("file:///srv/x", "file"), ("/srv/x", "file"), ("./models", "file")],
)
def test_allowed_only_by_name(url: str, protocol: str) -> None:
    """Plain HTTP and files of this machine need MODELSYNC_GIT_PROTOCOLS, and the message says what
    to set.
    """
    with pytest.raises(SettingsError, match=f"set MODELSYNC_GIT_PROTOCOLS=https,ssh,{protocol}$"):
        validate(Git(path=url))
    validate(Git(path=url, protocols=ALL))


@pytest.mark.parametrize("url", ["nonsense", "git.example.org/team/models"])
def test_what_is_no_url_is_not_taken_for_a_folder(url: str) -> None:
    """Unless folders are allowed."""
    with pytest.raises(SettingsError, match="gitPath is not a URL of a repository"):
        validate(Git(path=url))
    validate(Git(path=url, protocols=ALL))


def test_a_url_without_its_scheme_is_told_with_it() -> None:
    """What is missing is said; what may hold a password is not repeated."""
    with pytest.raises(SettingsError, match=r"; write https://git\.example\.org/team/models\.git$"):
        validate(Git(path="git.example.org/team/models.git"))
    with pytest.raises(SettingsError) as caught:
        validate(Git(path="me@git.example.org/team/models.git"))
    assert "me@" not in str(caught.value)


@pytest.mark.parametrize(
    "urls",
    [
        (
            "https://git.example.org/team/models.git", "https://Git.example.org/team/models/",
            "ssh://git@git.example.org:2222/team/models.git", "git@git.example.org:team/models.git",
        ),
        ("https://git.example.org:8443/team/models",),
        ("https://git.example.org/team/others",),
        ("https://git.example.com/team/models",),
        ("file:///team/models", "/team/models"),
    ],
)  # fmt: skip
def test_the_same_repository_by_another_way(urls: tuple[str, ...]) -> None:
    """By https or ssh, whoever logs in, it has one name; another host, port or path has another."""
    names = {origin(Git(path=url, protocols=ALL)) for url in urls}
    assert len(names) == 1
    known = "git.example.org/team/models"
    assert (known in names) == (len(urls) > 2)


@pytest.mark.parametrize(
    "url",
    [
        "ext::sh -c touch% x", "ext::sh", "fd::7", "transport::address", "ext://sh", "git://host/x",
        "ftp://host/x",
        "--upload-pack=touch x", "--upload-pack=touch", "-u", "ssh://-oProxyCommand=touch/x",
        "ssh://-oX@host/x",
        "-oProxyCommand=x:y", "git@-oProxyCommand=x:y", "host:-x", "https://", "https:///x",
        "https://h:99999/x",
        "https://h/x\ny", "https://h/x y", "HTTPS://h/x", "::", "u:p@h:x",
    ],
)  # fmt: skip
def test_never_allowed(url: str, tmp_path: Path) -> None:
    """Helpers that run commands, options in disguise, other protocols, nonsense: refused, nothing
    runs.
    """
    git = Git(path=url, protocols=ALL, ssh_key_file=Path("key"))
    with pytest.raises(SettingsError):
        Mirror(tmp_path / "home", git)
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize(
    "url",
    [
        "https://user:hunter2@h/x", "https://hunter2@h/x", "https://:hunter2@h/x",
        "ssh://git:hunter2@h/x",
        "https://user:hunter2@h:bad/x", "user:hunter2@h:x", "http://hunter2@h/x",
        "ftp://u:hunter2@h/x",
    ],
)  # fmt: skip
def test_credentials_in_the_url_are_refused_and_not_repeated(url: str) -> None:
    """The message says what to do and does not hold the secret."""
    with pytest.raises(SettingsError) as caught:
        validate(Git(path=url, protocols=ALL, ssh_key_file=Path("key")))
    assert "hunter2" not in str(caught.value)
    assert "hunter2" not in repr(caught.value.__context__ or "")


@pytest.mark.parametrize(
    "url",
    [
        "ext::sh -c hunter2", "--upload-pack=hunter2", "ssh://-oProxyCommand=hunter2/x",
        "file:///hunter2/x.git",
        "/hunter2/x.git", "https://h/x hunter2",
    ],
)  # fmt: skip
def test_a_url_that_is_refused_is_not_repeated(url: str) -> None:
    """Whatever it is, it was meant for somewhere else."""
    with pytest.raises(SettingsError) as caught:
        validate(Git(path=url))
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "ref",
    ["-x", "--all", "a..b", "a b", "a\nb", "main~1", "v1^{}", "a:b", "*", "a?", "x.lock", "@{u}"],
)
def test_refs_that_are_more_than_names(ref: str) -> None:
    """Options, ranges, patterns and revision syntax are no refs to follow."""
    with pytest.raises(SettingsError, match="MODELSYNC_GIT_REF"):
        validate(Git(path="https://h/x", ref=ref))


def test_ssh_needs_a_key(tmp_path: Path) -> None:
    """Nobody is asked for a passphrase or a password, so a key is the only way in."""
    with pytest.raises(SettingsError, match="MODELSYNC_GIT_SSH_KEY_FILE"):
        Mirror(tmp_path, Git(path="git@h:x"))


def test_a_user_holds_no_control_character(tmp_path: Path) -> None:
    """It would end the line in which git reads the user."""
    with pytest.raises(SettingsError, match="usergit"):
        Mirror(tmp_path, Git(path="https://h/x", user="a\nb"))


@pytest.mark.parametrize(
    ("url", "address", "path"),
    [
        (
            "ssh://git@git.example.org:2222/a%20b.git",
            ["-p", "2222", "git@git.example.org"],
            "/a b.git",
        ),
        ("ssh://git.example.org/~me/models", ["git.example.org"], "~me/models"),
        ("ssh://git@[::1]/models.git", ["git@::1"], "/models.git"),
        ("git@git.example.org:team/models.git", ["git@git.example.org"], "team/models.git"),
        ("git.example.org:models.git", ["git.example.org"], "models.git"),
    ],
)
def test_addresses_for_ssh(url: str, address: list[str], path: str) -> None:
    """The host and the path as git gives them to ssh."""
    assert ssh_address(parse(Git(path=url))) == (address, path)
