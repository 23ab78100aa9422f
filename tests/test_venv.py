"""run.sh and scripts/venv.sh: what they install, and what they say if something is missing.

The package index is a folder of small wheels. uv is a real one, or it records its calls.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

PYPROJECT = """
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]

[project]
name = "modelsync"
version = "0.1.0"
"""
BACKEND = """
import shutil

def build_editable(folder, *_):
    return shutil.copy("modelsync-0.1.0-py3-none-any.whl", folder).rpartition("/")[2]
"""


@dataclass
class Checkout:
    """A folder with run.sh and what it reads, and a folder of wheels as its package index."""

    path: Path
    index: Path

    def offer(
        self,
        name: str,
        version: str,
        needs: str = "",
        entry_points: str = "",
        folder: Path | None = None,
    ) -> Path:
        """Put an empty package into the index."""
        file = (folder or self.index) / f"{name}-{version}-py3-none-any.whl"
        needed = f"Requires-Dist: {needs}\n" if needs else ""
        info, head = f"{name}-{version}.dist-info", "Metadata-Version: 2.1\n"
        content = {
            f"{name}.py": f"def main():\n    print('{name} serves')\n",
            f"{info}/METADATA": f"{head}Name: {name}\nVersion: {version}\n{needed}",
            f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
            f"{info}/entry_points.txt": entry_points,
        }
        content[f"{info}/RECORD"] = "".join(f"{path},,\n" for path in [*content, f"{info}/RECORD"])
        with zipfile.ZipFile(file, "w") as archive:
            for path, text in content.items():
                archive.writestr(path, text)
        return file

    def pin(self, version: str) -> None:
        """Pin and lock the one library that the service needs."""
        digest = hashlib.sha256(self.offer("ours", version).read_bytes()).hexdigest()
        (self.path / "requirements.txt").write_text(f"ours=={version}\n")
        (self.path / "requirements.lock").write_text(
            f"# made\nours=={version} \\\n    --hash=sha256:{digest}\n"
        )

    def models(self, *lines: str) -> None:
        (self.path / "requirements-models.txt").write_text("".join(f"{line}\n" for line in lines))

    def run(self, **environ: str) -> subprocess.CompletedProcess[str]:
        """Run run.sh from another directory."""
        where = {
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": str(self.index),
            "UV_CACHE_DIR": str(self.index / "cache"),
        }
        clean = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("PIP_", "UV_", "PYTHON"))
        }
        return subprocess.run(
            [str(self.path / "run.sh")], cwd="/", capture_output=True, text=True, timeout=100,
            env={**clean, **where, "PYTHON": sys.executable, **environ},
        )  # fmt: skip

    def installed(self) -> dict[str, str]:
        """Give what .venv has, by name."""
        listing = "for d in m.distributions(): print(f'{d.name}={d.version}')"
        python = self.path / ".venv" / "bin" / "python"
        words = subprocess.run(
            [str(python), "-c", f"import importlib.metadata as m\n{listing}"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout.split()
        return dict(
            word.split("=") for word in words if not word.startswith(("pip=", "setuptools="))
        )


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    made = Checkout(tmp_path / "checkout", tmp_path / "index")
    made.index.mkdir()
    shutil.copytree(ROOT / "scripts" / "uv", made.path / "scripts" / "uv")
    environments = "modelsync/environments"
    (made.path / environments).mkdir(parents=True)
    for name in (
        *("run.sh", "scripts/__init__.py", "scripts/venv.sh", "scripts/libraries.sh"),
        *(f"{environments}/__init__.py", f"{environments}/pip_configuration.py"),
        "modelsync/__init__.py",
    ):
        shutil.copy(ROOT / name, made.path / name)
    (made.path / "pyproject.toml").write_text(PYPROJECT)
    (made.path / "backend.py").write_text(BACKEND)
    made.offer(
        "modelsync", "0.1.0", "ours", "[console_scripts]\nmodelsync = modelsync:main\n", made.path
    )
    made.pin("1.0")
    return made


@pytest.fixture
def uv() -> None:
    """Skips where no uv can be had."""
    done = subprocess.run(
        [sys.executable, "-m", "scripts.uv", "--version"], cwd=ROOT, capture_output=True, text=True
    )
    if done.returncode:
        pytest.skip(done.stderr)


@pytest.fixture(params=["uv", "pip"])
def tool(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, str]:
    """The environment in which run.sh has a real uv, or none, so that it takes pip."""
    if request.param == "uv":
        request.getfixturevalue("uv")
        return {}
    commands = tmp_path / "commands"
    commands.mkdir()
    for name in ("bash", "dirname", "env", "git", "cat", "sed", "sh"):
        (commands / name).symlink_to(str(shutil.which(name)))
    return {"PATH": str(commands), "XDG_CACHE_HOME": str(tmp_path / "no cache")}


def fake_python(checkout: Checkout, script: str) -> str:
    """An interpreter that is this one but for what the script does first."""
    file = checkout.path / "python-here"
    file.write_text(f'#!/bin/sh\n{script}\nexec "{sys.executable}" "$@"\n')
    file.chmod(0o755)
    return str(file)


# --- what is installed ----------------------------------------------------------------------------


def test_run_installs_and_serves(checkout: Checkout, tool: dict[str, str]) -> None:
    """It installs the lock file, modelsync and the models' libraries; without uv by pip."""
    checkout.offer("theirs", "1.0", "ours>=1")
    checkout.models("theirs  # for Price")
    done = checkout.run(**tool)
    assert (done.returncode, done.stdout) == (0, "modelsync serves\n"), done.stderr
    assert checkout.installed() == {"ours": "1.0", "theirs": "1.0", "modelsync": "0.1.0"}
    assert ("taking pip instead" in done.stderr) == bool(tool)


def test_a_library_that_was_altered_is_not_installed(
    checkout: Checkout, tool: dict[str, str]
) -> None:
    """The hashes of the lock file count."""
    checkout.offer("ours", "1.0", "something else")
    done = checkout.run(**tool)
    assert done.returncode == 1
    assert "could not install requirements.lock; its message is above" in done.stderr
    assert "hash" in done.stderr.lower()


def test_a_models_library_that_does_not_fit_is_told(
    checkout: Checkout, tool: dict[str, str]
) -> None:
    """Ours win; the message names the file and says what to do. The next run installs again."""
    checkout.offer("ours", "2.0")
    checkout.offer("theirs", "1.0", "ours>=2")
    checkout.models("theirs")
    done = checkout.run(**tool)
    assert (done.returncode, done.stdout) == (1, "")
    assert (
        "requirements-models.txt cannot be installed beside the service's own libraries"
        in done.stderr
    )
    assert re.search(r"theirs|-r requirements-models.txt \(line 1\)", done.stderr)
    assert "run `make lock`" in done.stderr
    checkout.offer("theirs", "1.0", "ours")
    shutil.rmtree(checkout.index / "cache", ignore_errors=True)
    assert checkout.run(**tool).stdout == "modelsync serves\n"


@pytest.mark.usefixtures("uv")
def test_the_models_libraries_outlive_an_upgrade(checkout: Checkout) -> None:
    """They are in a file that is not ours: with new pins they are installed again beside them."""
    assert checkout.run().returncode == 0
    checkout.offer("theirs", "1.0", "ours")
    checkout.models("theirs")
    assert checkout.run().returncode == 0
    checkout.pin("1.1")
    assert checkout.run().returncode == 0
    assert checkout.installed() == {"ours": "1.1", "theirs": "1.0", "modelsync": "0.1.0"}
    assert "/requirements-models.txt\n" in (ROOT / ".gitignore").read_text("utf-8")


@pytest.mark.usefixtures("uv")
def test_a_changed_pin_asks_for_a_new_lock(checkout: Checkout) -> None:
    """A line added to requirements.txt is installed; a pin that the lock file lacks is an error."""
    checkout.offer("theirs", "1.0")
    requirements = checkout.path / "requirements.txt"
    requirements.write_text("ours==1.0\ntheirs\n")
    assert checkout.run().returncode == 0
    assert "theirs" in checkout.installed()
    checkout.offer("ours", "2.0")
    requirements.write_text("ours==2.0\n")
    done = checkout.run()
    assert done.returncode == 1
    assert "requirements.txt does not match requirements.lock (see above)" in done.stderr


def test_installing_happens_once(checkout: Checkout) -> None:
    """Two runs at the same time install once, and a third not at all."""
    log = checkout.path / "calls"
    program = checkout.path / "commands" / "uv"
    program.parent.mkdir()
    program.write_text(f"""#!/bin/sh
        case "$*" in
        --version) echo uv 0.99.0;;
        venv*) mkdir -p .venv/bin; ln -s /bin/true .venv/bin/python
               printf '#!/bin/sh\\necho serving\\n' >.venv/bin/modelsync
               chmod +x .venv/bin/modelsync;;
        *) echo "$*" >>{log};;
        esac""")
    program.chmod(0o755)
    path = f"{program.parent}:{os.environ['PATH']}"
    with ThreadPoolExecutor() as pool:
        first = list(pool.map(lambda _: checkout.run(PATH=path), range(2)))
    for done in (*first, checkout.run(PATH=path)):
        assert (done.returncode, done.stdout) == (0, "serving\n"), done.stderr
    calls = log.read_text().splitlines()
    assert len([call for call in calls if "--require-hashes" in call]) == 1
    assert len([call for call in calls if "--editable" in call]) == 1


@pytest.mark.usefixtures("uv")
def test_a_stamp_is_not_true_again(checkout: Checkout) -> None:
    """A run that fails half-way leaves no stamp of before: changed back, the pins are installed."""
    assert checkout.run().returncode == 0
    files = ("requirements.txt", "requirements.lock")
    before = {name: (checkout.path / name).read_text() for name in files}
    checkout.pin("2.0")
    checkout.models("missing")
    assert checkout.run().returncode == 1
    assert checkout.installed()["ours"] == "2.0"
    (checkout.path / "requirements-models.txt").unlink()
    for name, text in before.items():
        (checkout.path / name).write_text(text)
    assert checkout.run().returncode == 0
    assert checkout.installed()["ours"] == "1.0"


@pytest.mark.usefixtures("uv")
def test_another_python_after_a_run_that_was_cut_short(checkout: Checkout) -> None:
    """An environment that is not complete is known by its interpreter, and made anew of another."""
    checkout.models("missing")
    assert checkout.run().returncode == 1
    left = checkout.path / ".venv" / "left"
    left.touch()
    (checkout.path / "requirements-models.txt").unlink()
    other = fake_python(checkout, 'case "$*" in *sys.prefix*) echo another; exit;; esac')
    assert checkout.run(PYTHON=other).returncode == 0
    assert not left.exists()


@pytest.mark.usefixtures("uv")
@pytest.mark.parametrize("tool", ["pip"], indirect=True)
def test_pip_goes_on_where_uv_has_begun(checkout: Checkout, tool: dict[str, str]) -> None:
    """An environment that uv made has no pip; where uv is away later, it gets one."""
    assert checkout.run().returncode == 0
    checkout.pin("2.0")
    done = checkout.run(**tool)
    assert (done.returncode, done.stdout) == (0, "modelsync serves\n"), done.stderr
    assert checkout.installed()["ours"] == "2.0"


# --- a machine that lacks something ---------------------------------------------------------------


def test_run_without_python(checkout: Checkout) -> None:
    """Without an interpreter run.sh says what to install."""
    done = checkout.run(PYTHON="python-is-not-here")
    assert done.returncode == 1
    assert "python-is-not-here is not here; install Python 3.11 or newer" in done.stderr


def test_run_with_an_old_python(checkout: Checkout) -> None:
    """An interpreter that is too old is named with its version."""
    old = fake_python(
        checkout, 'case "$*" in --version) echo Python 3.9.2; exit;; *version_info*) exit 1;; esac'
    )
    done = checkout.run(PYTHON=old)
    assert done.returncode == 1
    assert "Python 3.9.2 is too old: Python 3.11 or newer is needed" in done.stderr


BARE = (
    'case "$*" in *"-m venv"*|*"-m pip"*|*ensurepip*) echo No module named venv >&2; exit 1;; esac'
)


@pytest.mark.usefixtures("uv")
def test_run_with_a_bare_python(checkout: Checkout) -> None:
    """As on Debian: uv makes the environment of a Python that has neither pip nor venv."""
    done = checkout.run(PYTHON=fake_python(checkout, BARE))
    assert (done.returncode, done.stdout) == (0, "modelsync serves\n"), done.stderr


@pytest.mark.parametrize("tool", ["pip"], indirect=True)
def test_run_without_anything_to_install_with(checkout: Checkout, tool: dict[str, str]) -> None:
    """A Python without venv, where no uv can be had: both are told, with the package to install."""
    done = checkout.run(PYTHON=fake_python(checkout, BARE), **tool)
    assert done.returncode == 1
    assert "cannot get uv: the index has no wheel of uv" in done.stderr
    assert "apt install python3-venv" in done.stderr
    assert not (checkout.path / ".venv").exists()


def test_run_without_git(checkout: Checkout) -> None:
    """Without git run.sh says so before it installs anything."""
    commands = checkout.path / "commands"
    commands.mkdir()
    for name in ("bash", "dirname", "env"):
        (commands / name).symlink_to(str(shutil.which(name)))
    done = checkout.run(PATH=str(commands))
    assert done.returncode == 1
    assert "git is not here; install it" in done.stderr
