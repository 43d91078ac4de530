"""`--processes auto` heeds the CPU quota of a container: control groups of both versions."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from worker.runtime.cores import usable_cores

pytestmark = pytest.mark.once

GROUPS = Path("/sys/fs/cgroup/cpu")


@pytest.fixture(autouse=True)
def many_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(16)), raising=False)


class Machine:
    """A /proc and a /sys of our own."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "proc/self").mkdir(parents=True)

    def says(self, *groups: str, mounts: str) -> None:
        (self.root / "proc/self/cgroup").write_text("\n".join(groups) + "\n")
        (self.root / "proc/self/mountinfo").write_text(mounts + "\n")

    def write(self, path: str, text: str) -> None:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text + "\n")


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


V2 = "29 23 0:26 {top} /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate"
V1 = "33 31 0:30 {top} /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct"
OTHER = "34 31 0:31 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory"


@pytest.mark.parametrize(
    ("quota", "cores"),
    [
        ("max 100000", 16),
        ("100000 100000", 1),
        ("50000 100000", 1),
        ("1000 100000", 1),
        ("150000 100000", 2),
        ("200000 100000", 2),
        ("25000 10000", 3),
        ("9900000 100000", 16),
        ("nonsense", 16),
        ("0 0", 16),
        ("", 16),
    ],
)
def test_a_quota_of_version_2(machine: Machine, quota: str, cores: int) -> None:
    machine.says("0::/", mounts=V2.format(top="/"))
    machine.write("sys/fs/cgroup/cpu.max", quota)
    assert usable_cores(machine.root) == cores


def test_the_tightest_of_all_groups_above_counts(machine: Machine) -> None:
    machine.says("0::/kubepods.slice/pod1/container", mounts=V2.format(top="/"))
    machine.write("sys/fs/cgroup/kubepods.slice/cpu.max", "800000 100000")
    machine.write("sys/fs/cgroup/kubepods.slice/pod1/cpu.max", "300000 100000")
    machine.write("sys/fs/cgroup/kubepods.slice/pod1/container/cpu.max", "max 100000")
    assert usable_cores(machine.root) == 3


def test_a_container_that_sees_its_own_group_as_the_top(machine: Machine) -> None:
    machine.says("0::/docker/abc", mounts=V2.format(top="/docker/abc"))
    machine.write("sys/fs/cgroup/cpu.max", "200000 100000")
    assert usable_cores(machine.root) == 2


def test_a_group_above_the_mounted_one(machine: Machine) -> None:
    machine.says("0::/../..", mounts=V2.format(top="/"))
    machine.write("sys/fs/cgroup/cpu.max", "200000 100000")
    assert usable_cores(machine.root) == 2


@pytest.mark.parametrize(
    ("quota", "cores"), [("-1", 16), ("100000", 1), ("250000", 3), ("400000", 4)]
)
@pytest.mark.parametrize("top", ["/", "/docker/abc"])
def test_a_quota_of_version_1(machine: Machine, quota: str, cores: int, top: str) -> None:
    folder = "sys/fs/cgroup/cpu,cpuacct" + ("/docker/abc" if top == "/" else "")
    machine.says(
        "5:memory:/docker/abc",
        "4:cpu,cpuacct:/docker/abc",
        mounts="\n".join([OTHER, V1.format(top=top)]),
    )
    machine.write(f"{folder}/cpu.cfs_quota_us", quota)
    machine.write(f"{folder}/cpu.cfs_period_us", "100000")
    assert usable_cores(machine.root) == cores


def test_both_versions_at_once(machine: Machine) -> None:
    """As systemd mounts them: the CPU is with version 1."""
    machine.says(
        "4:cpu,cpuacct:/a",
        "0::/a",
        mounts="\n".join([V1.format(top="/"), V2.format(top="/")]),
    )
    machine.write("sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us", "500000")
    machine.write("sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_period_us", "100000")
    assert usable_cores(machine.root) == 5


def test_a_machine_without_control_groups(machine: Machine) -> None:
    assert usable_cores(machine.root) == 16
    machine.says("0::/", mounts=OTHER)
    assert usable_cores(machine.root) == 16


def test_affinity_counts_too(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3, 5}, raising=False)
    machine.says("0::/", mounts=V2.format(top="/"))
    machine.write("sys/fs/cgroup/cpu.max", "400000 100000")
    assert usable_cores(machine.root) == 2


@pytest.fixture
def one_core() -> Iterator[Path]:
    """A real control group with a quota of one core."""
    group = GROUPS / "worker-tests"
    try:
        group.mkdir()
        (group / "cpu.cfs_quota_us").write_text("100000")
    except OSError:
        pytest.skip("control groups can't be made here")
    yield group
    group.rmdir()


def test_in_a_real_group(one_core: Path, environment: dict[str, str]) -> None:
    enter = f"echo $$ > {one_core}/tasks; exec {sys.executable} -P -c "
    code = "'from worker.process.supervisor import processes; print(processes(\"auto\"))'"
    done = subprocess.run(
        ["/bin/sh", "-c", enter + code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout == "1\n"
