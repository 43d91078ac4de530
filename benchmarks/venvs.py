"""A virtual environment for each of the other queues, made when first needed."""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

from benchmarks.world import Failed

_FOLDER = Path(__file__).parent / ".venvs"

# What each needs to be at its best. The first name is the queue itself.
REQUIREMENTS = {
    "saq": ["saq[redis,hiredis]", "typing-extensions", "uvloop"],
    "arq": ["arq", "hiredis", "uvloop"],
    "streaq": ["streaq", "uvloop"],
    "taskiq": ["taskiq", "taskiq-redis", "hiredis", "uvloop"],
    "dramatiq": ["dramatiq[redis]", "hiredis"],
    "celery": ["celery[redis]", "hiredis"],
    "bullmq": ["bullmq", "hiredis", "uvloop"],
    "huey": ["huey", "redis", "hiredis"],
}


@dataclass(frozen=True)
class Peer:
    """Another queue, ready to run."""

    name: str
    python: str
    version: str

    def command(self, *arguments: str) -> list[str]:
        """One of its module's commands: worker, fill, probe."""
        return [self.python, "-m", f"benchmarks.peers.{self.name}", *arguments]


def open_peer(name: str) -> Peer:
    """The queue in its environment, made if it is not there. Raises Failed when it can't be."""
    python = _FOLDER / name / "bin" / "python"
    ready = _FOLDER / name / "ready"
    if not ready.exists():
        _uv("venv", "--quiet", "--clear", str(_FOLDER / name))
        _uv("pip", "install", "--quiet", "--python", str(python), *REQUIREMENTS[name])
        ready.touch()
    listed = _uv("pip", "list", "--quiet", "--format=json", "--python", str(python))
    version = next(p["version"] for p in json.loads(listed) if p["name"].lower() == name)
    return Peer(name, str(python), version)


def _uv(*arguments: str) -> str:
    done = subprocess.run(["uv", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise Failed(f"uv {arguments[0]} failed: {done.stderr.strip()[-300:]}")
    return done.stdout
