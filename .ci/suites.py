"""The test suites of CI: on Valkey with coverage, and on Debian's Redis.

The tests kill, stop and time real processes, so on a machine that is busy elsewhere one may fail by
chance. What failed is tried once more, by itself. The end names what needed the second try, and
more than a few of those are a failure.
"""

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

# Tests mostly wait, so there are more processes than cores. Each has servers of its own.
PARALLEL = ["--numprocesses", "4", "--dist", "worksteal"]
MOST_SECOND_TRIES = 8
CACHE = ".pytest_cache/ci"
FAILED = 1  # pytest's exit code when tests failed; others mean that it could not run them


def main() -> None:
    """Run both suites, then the report. Exit with 0, or with what is wrong."""
    began = time.monotonic()
    second_tries = suite(["coverage", "run", "-m", "pytest", "--durations", "10"])
    if shutil.which("redis-server"):
        second_tries += suite(["pytest", "--redis-server", "debian"])
    else:
        print("There is no redis-server here: the tests ran on Valkey alone.")
    python("coverage", "combine", "--quiet")
    covered = python("coverage", "report")
    print(f"The tests took {time.monotonic() - began:.0f} s.")
    for name in second_tries:
        print(f"Failed, and passed on the second try: {name}")
    if len(second_tries) > MOST_SECOND_TRIES:
        sys.exit(f"{len(second_tries)} tests needed a second try; {MOST_SECOND_TRIES} may.")
    sys.exit(covered)


def suite(command: list[str]) -> list[str]:
    """Run the tests, and what failed a second time. Return what passed then."""
    shutil.rmtree(CACHE, ignore_errors=True)
    code = python(*command, "-o", f"cache_dir={CACHE}", *PARALLEL)
    if code == 0:
        return []
    if code != FAILED:
        sys.exit(code)
    failed = list(json.loads(Path(CACHE, "v/cache/lastfailed").read_text()))
    if len(failed) > MOST_SECOND_TRIES:
        sys.exit(f"{len(failed)} tests failed; up to {MOST_SECOND_TRIES} are tried again.")
    print("A second try, by itself, of what failed:")
    code = python(*command, "-o", f"cache_dir={CACHE}", "--last-failed")
    if code != 0:
        sys.exit(code)
    return failed


def python(*arguments: str) -> int:
    """Run `python -m arguments` and return its exit code."""
    return subprocess.run([sys.executable, "-m", *arguments], check=False).returncode  # noqa: S603


if __name__ == "__main__":
    main()
