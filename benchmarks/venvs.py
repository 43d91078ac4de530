"""A virtual environment for each of the other queues, made when first needed."""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

from benchmarks.world import Failed

FOLDER = Path(__file__).parent / ".venvs"

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
        """Return one of its module's commands: worker, fill, probe."""
        return [self.python, "-m", f"benchmarks.peers.{self.name}", *arguments]


def open_peer(name: str) -> Peer:
    """Return the queue in its environment, made if it is not there. Raise Failed if that fails."""
    python = FOLDER / name / "bin" / "python"
    ready = FOLDER / name / "ready"
    if not ready.exists():
        uv("venv", "--quiet", "--clear", str(FOLDER / name))
        uv("pip", "install", "--quiet", "--python", str(python), *REQUIREMENTS[name])
        ready.touch()
    listed = uv("pip", "list", "--quiet", "--format=json", "--python", str(python))
    version = next(p["version"] for p in json.loads(listed) if p["name"].lower() == name)
    return Peer(name, str(python), version)


def uv(*arguments: str) -> str:
    """Run uv. Return what it printed; raise Failed where it fails."""
    done = subprocess.run(["uv", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise Failed(f"uv {arguments[0]} failed: {done.stderr.strip()[-300:]}")
    return done.stdout
