"""What a release holds: all that belongs, and nothing else of the checkout that it is made in."""

import shutil
import subprocess
import tarfile
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.once

ROOT = Path(__file__).parent.parent.parent
PLUGIN = "redis_dynamo_worker_pytest.py"
STRAYS = [
    *("notes.md", "credentials.pem", ".env", "dump.rdb", "my_jobs.py"),
    *(
        "worker/notes.txt",
        "worker/.env",
        "worker/broker/lua/draft.lua.orig",
        "scratch/experiment.py",
    ),
    *("tests/secrets.json", "examples/data.csv"),
]


def tracked(*folders: str) -> set[str]:
    done = subprocess.run(
        ["git", "ls-files", *folders], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip("no checkout of git")
    return set(done.stdout.split())


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a release, made in a checkout with stray files."""
    if shutil.which("uv") is None:
        pytest.skip("uv builds it")
    checkout = tmp_path_factory.mktemp("checkout")
    for name in tracked():
        if (ROOT / name).exists():  # not one that is about to be deleted
            (checkout / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, checkout / name)
    for name in STRAYS:
        (checkout / name).parent.mkdir(parents=True, exist_ok=True)
        (checkout / name).write_text("stray")
    built = tmp_path_factory.mktemp("built")
    subprocess.run(
        ["uv", "build", "--quiet", "--out-dir", built, checkout], check=True, timeout=100
    )
    return built


def test_the_wheel_holds_the_package_and_nothing_else(release: Path) -> None:
    (wheel,) = release.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    example = "worker/demo/installed/examples/webhooks.py"  # what `worker demo` runs
    ours = {name for name in tracked("worker", PLUGIN) if (ROOT / name).exists()}
    assert names == ours | {example}


def test_the_sdist_holds_what_belongs_and_nothing_else(release: Path) -> None:
    (sdist,) = release.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {member.name.partition("/")[2] for member in archive.getmembers()}
    assert names >= {
        name for name in tracked("worker", PLUGIN, "tests", "examples") if (ROOT / name).exists()
    }
    assert names >= {"README.md", "pyproject.toml", "PKG-INFO"}
    assert not names & set(STRAYS)
