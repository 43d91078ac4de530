"""Revisions of this repository, each in an environment of its own, to be measured in pairs."""

import io
import shutil
import subprocess
import sys
import tarfile
from dataclasses import dataclass
from pathlib import Path

from benchmarks.venvs import FOLDER, uv
from benchmarks.world import ROOT, Failed, World

THIS = "this"
_OURS = "redis-dynamo-worker"


@dataclass(frozen=True)
class Revision:
    """A revision that is ready to run: its name, its Python, and the folder of its `worker`."""

    name: str
    python: Path
    folder: Path

    def world(self, world: World) -> World:
        """Return the servers as this revision is run on them."""
        return world.of(self.python, self.folder)


def open_this() -> Revision:
    """Take the working tree as it is now, changes that are not committed included."""
    folder = _emptied(FOLDER / THIS / "source")
    shutil.copytree(
        ROOT / "worker", folder / "worker", ignore=shutil.ignore_patterns("__pycache__")
    )
    shutil.copy(ROOT / "pyproject.toml", folder)
    return _ready(THIS, folder)


def open_revision(revision: str) -> Revision:
    """Take a commit, a tag or a branch. Raise Failed where there is no such revision."""
    commit = (
        _git("rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}").decode().strip()[:12]
    )
    folder = _emptied(FOLDER / f"revision-{commit}" / "source")
    archive = _git("archive", commit, "worker", "pyproject.toml")
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        tar.extractall(folder, filter="data")
    return _ready(commit, folder)


def _emptied(folder: Path) -> Path:
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    return folder


def _ready(name: str, folder: Path) -> Revision:
    """Install what the revision depends on, in the versions that we have, and compile all of it.

    What is measured is the code, and neither other versions of libraries nor Python's compiler:
    where PYTHONDONTWRITEBYTECODE is set, each start would take a second more.
    """
    venv, project = folder.parent / "venv", folder / "pyproject.toml"
    python, installed = venv / "bin" / "python", folder.parent / "installed.toml"
    pins = folder.parent / "pins.txt"
    pins.write_text(_our_versions())
    if not installed.exists() or installed.read_text() != project.read_text() + pins.read_text():
        uv("venv", "--quiet", "--clear", "--python", sys.executable, str(venv))
        uv(
            *("pip", "install", "--quiet", "--python", str(python), "--compile-bytecode"),
            *("--constraint", str(pins), "--requirements", str(project)),
        )
        installed.write_text(project.read_text() + pins.read_text())
    (folder / "benchmarks").symlink_to(ROOT / "benchmarks")
    subprocess.run([python, "-m", "compileall", "-q", str(folder / "worker")], check=True)
    return Revision(name, python, folder)


def _our_versions() -> str:
    lines = uv("pip", "freeze", "--quiet", "--python", sys.executable).splitlines()
    return "\n".join(line for line in lines if "==" in line and not line.startswith(_OURS))


def _git(*arguments: str) -> bytes:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, check=False)
    if done.returncode:
        why = done.stderr.decode().strip() or "there is no such revision"
        raise Failed(f"git {' '.join(arguments)}: {why}")
    return done.stdout
