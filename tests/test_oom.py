"""The kernel's count of kills for want of memory: found however it is laid out, and each kill has
one victim.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from modelsync.oom import KEPT, OomKills, find_counter, prefer_as_oom_victim, read_kills

EVENTS = "low 0\nhigh 0\nmax 2311\noom 3\noom_kill {}\noom_group_kill 0\n"
CONTROL = "oom_kill_disable 0\nunder_oom 0\noom_kill {}\n"
POD = "/kubepods.slice/kubepods-pod1.slice/cri-containerd-2.scope"


def v2(root: str, point: Path) -> str:
    return (
        f"35 24 0:30 {root} {point} ro,nosuid,nodev,noexec,relatime shared:9 master:1 - cgroup2 "
        "cgroup rw,nsdelegate"
    )


def v1(root: str, point: Path, controllers: str = "memory") -> str:
    return f"35 31 0:32 {root} {point} rw,relatime - cgroup cgroup rw,{controllers}"


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    (tmp_path / "proc").mkdir()
    return tmp_path / "proc"


@pytest.mark.parametrize(
    ("cgroup", "root", "below"),
    [
        ("/system.slice/modelsync.service", "/", "system.slice/modelsync.service"),  # a machine
        ("/", "/", "."),  # a container with a namespace of its own
        (POD, POD, "."),  # one without: the mount begins with its cgroup
        (f"{POD}/init.scope", POD, "init.scope"),
    ],
)
@pytest.mark.parametrize("version", [2, 1])
def test_the_counter_of_ones_own_cgroup_is_found(
    tmp_path: Path, proc: Path, version: int, cgroup: str, root: str, below: str
) -> None:
    """cgroup v2 and v1, nested, in containers of both kinds, among mounts that have nothing to do
    with it.
    """
    point = tmp_path / "cgroup"
    file = point / below / ("memory.events" if version == 2 else "memory.oom_control")
    file.parent.mkdir(parents=True)
    file.write_text((EVENTS if version == 2 else CONTROL).format(4))
    lines = (
        f"0::{cgroup}"
        if version == 2
        else f"12:pids:/else\n7:cpu,memory:{cgroup}\n1:name=systemd:/\n0::/"
    )
    (proc / "cgroup").write_text(f"{lines}\n")
    mounts = [
        "21 1 8:1 / / rw,relatime - ext4 /dev/root rw,errors=remount-ro",
        v1("/", tmp_path / "pids", "pids"),
        v2("/", tmp_path / "unified") if version == 1 else v1("/", tmp_path / "freezer", "freezer"),
        v2(root, point) if version == 2 else v1(root, point, "cpu,memory"),
    ]
    (proc / "mountinfo").write_text("\n".join(mounts) + "\n")
    found = find_counter(proc)
    assert found == file
    assert read_kills(found) == 4


def test_no_counter_no_kills(tmp_path: Path, proc: Path) -> None:
    """The root cgroup has none, an old kernel does not tell, a mount may show another part, /proc
    may be missing.
    """
    point = tmp_path / "cgroup"
    point.mkdir()
    assert find_counter(tmp_path / "missing") is None
    for cgroup, mount in [
        ("0::/\n", v2("/", point)),
        (f"0::{POD}\n", v2("/else", point)),
        ("0::/\n", v2("/../..", point)),
        ("4:memory:/\n", v1("/", point)),
        ("what is this", "and this"),
    ]:
        (proc / "cgroup").write_text(cgroup)
        (proc / "mountinfo").write_text(f"{mount}\n")
        assert find_counter(proc) is None
    (point / "memory.oom_control").write_text("oom_kill_disable 0\nunder_oom 0\n")
    (proc / "cgroup").write_text("4:memory:/\n")
    (proc / "mountinfo").write_text(v1("/", point))
    assert find_counter(proc) is None
    nobody = OomKills(None)
    nobody.refresh(0.0)
    assert not nobody.claim(0.0)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "memory.events"
    path.write_text(EVENTS.format(7))
    return path


def test_each_kill_has_one_victim(file: Path) -> None:
    """Each kill explains one worker that died; kills before the start explain none."""
    oom = OomKills(file)
    assert not oom.claim(0.0)
    file.write_text(EVENTS.format(9))
    assert [oom.claim(1.0) for _ in range(3)] == [True, True, False]


def test_a_victim_may_take_its_time(file: Path) -> None:
    """The kernel has counted, and the process is still giving back its memory: looking does not
    forget the kill.
    """
    oom = OomKills(file)
    file.write_text(EVENTS.format(8))
    for second in range(3):
        oom.refresh(float(second))
    assert oom.claim(3.0)
    assert not oom.claim(3.0)


def test_a_kill_without_a_victim_is_forgotten(file: Path) -> None:
    """A process that a model had started was killed: a later `kill -9` by hand is not taken for
    that.
    """
    oom = OomKills(file)
    file.write_text(EVENTS.format(8))
    oom.refresh(0.0)
    assert not oom.claim(KEPT)


def test_a_counter_that_cannot_be_read_for_a_while_tells_nothing(file: Path) -> None:
    """Old kills do not come back as new ones."""
    oom = OomKills(file)
    file.write_text("")
    assert not oom.claim(0.0)
    file.write_text(EVENTS.format(7))
    assert not oom.claim(1.0)


@pytest.mark.parametrize(("before", "after"), [("0", "100"), ("-997", "-897"), ("950", "1000")])
def test_a_worker_is_preferred(proc: Path, before: str, after: str) -> None:
    """By a tenth of the memory, and never beyond what the kernel takes."""
    (proc / "oom_score_adj").write_text(f"{before}\n")
    prefer_as_oom_victim(proc)
    assert (proc / "oom_score_adj").read_text() == after


def test_nothing_to_prefer_by(proc: Path) -> None:
    """Without a kernel that has the file a worker starts all the same, and none is made."""
    prefer_as_oom_victim(proc)
    assert list(proc.iterdir()) == []
