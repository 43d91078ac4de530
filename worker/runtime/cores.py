"""How many cores this process may use: its affinity, and the CPU quota of its container."""

import math
import os
from collections.abc import Iterator
from pathlib import Path


def usable_cores(root: Path = Path("/")) -> int:
    """Return how many cores this process may use, at least 1. Part of a core counts as one.

    `root` is where /proc and /sys are.
    """
    affinity = getattr(os, "sched_getaffinity", None)  # Linux; it knows a container's cpuset
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    # Rounded up: with 1.5 cores, one process would leave a third of them unused.
    return max(1, min([cores, *(math.ceil(quota) for quota in _quotas(root))]))


def _quotas(root: Path) -> Iterator[float]:
    """The quotas, in cores, of this process's control groups and of all above them."""
    try:
        mounts = list(_mounts(root))
        groups = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return  # not Linux
    for line in groups:
        number, controllers, group = line.split(":", 2)
        version = 2 if number == "0" else 1
        if version == 1 and "cpu" not in controllers.split(","):
            continue
        for mounted, top, folder in mounts:
            if mounted == version:
                yield from _quotas_above(root / folder.lstrip("/"), _within(group, top), version)


def _mounts(root: Path) -> Iterator[tuple[int, str, str]]:
    """Version, group and folder of each mounted hierarchy that may hold CPU quotas (proc(5))."""
    for line in (root / "proc/self/mountinfo").read_text().splitlines():
        fields, _, rest = line.partition(" - ")
        kind, _, options = rest.split(" ", 2)
        top, folder = fields.split(" ")[3:5]
        if kind == "cgroup2":
            yield 2, top, folder
        elif kind == "cgroup" and "cpu" in options.split(","):
            yield 1, top, folder


def _within(group: str, top: str) -> str:
    """The group's path below the mounted one; "" where it is not below it."""
    if top == "/":
        return group.strip("/")
    return group.removeprefix(top).strip("/") if f"{group}/".startswith(f"{top}/") else ""


def _quotas_above(folder: Path, group: str, version: int) -> Iterator[float]:
    parts = [part for part in group.split("/") if part != ".."]
    for depth in range(len(parts) + 1):
        quota = _quota(folder.joinpath(*parts[:depth]), version)
        if quota is not None:
            yield quota


def _quota(folder: Path, version: int) -> float | None:
    """The quota of one group, in cores; None where it has none."""
    try:
        if version == 2:  # noqa: PLR2004 - of control groups
            quota, period = (folder / "cpu.max").read_text().split()
        else:
            quota = (folder / "cpu.cfs_quota_us").read_text()
            period = (folder / "cpu.cfs_period_us").read_text()
        cores = int(quota) / int(period)
    except (OSError, ValueError, ZeroDivisionError):  # ValueError: "max"
        return None
    return cores if cores > 0 else None
