"""Turns records into the Markdown of README.md."""

import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.figures import Measured, Record
from benchmarks.rows import ROWS

README = Path(__file__).parent / "README.md"
_BEGIN, _END = "<!-- results -->", "<!-- /results -->"
_OURS = ("redis", "hiredis", "uvloop", "pydantic", "aiobotocore")


def facts() -> dict[str, Any]:
    """What the figures depend on; nothing that names a machine."""
    from worker.demo.servers import valkey_command  # noqa: PLC0415

    printed = subprocess.run(
        [valkey_command(0, Path())[0], "--version"], capture_output=True, text=True, check=True
    ).stdout
    server = next(word for word in printed.split() if word.startswith("v="))[2:]
    return {
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "system": platform.system(),
        "valkey": server,
        "packages": {name: version(name) for name in _OURS},
    }


def markdown(records: list[Record]) -> str:
    """The circumstances, the table of targets, and the table of peers."""
    return "\n\n".join([_circumstances(records), _targets(records), _peers(records)]) + "\n"


def write(records: list[Record]) -> None:
    """Put the tables in the README, between its markers."""
    text = README.read_text()
    before, rest = text.split(_BEGIN, 1)
    _, after = rest.split(_END, 1)
    README.write_text(f"{before}{_BEGIN}\n{markdown(records)}{_END}{after}")


def _circumstances(records: list[Record]) -> str:
    known = next(record for record in records if record["row"] == "facts")
    packages = ", ".join(f"{name} {number}" for name, number in known["packages"].items())
    return (
        f"{known['cores']} cores, {known['system']}, Python {known['python']}, "
        f"Valkey {known['valkey']}, {packages}. Median of {known['pairs']} pairs, least and most "
        "in brackets."
    )


def _targets(records: list[Record]) -> str:
    lines = ["| row | what | target | measured | met |", "|---|---|---|---|---|"]
    for name, row in ROWS.items():
        seen = Measured(record for record in records if record["row"] == name)
        for number, item in enumerate(row.judge(seen)):
            first = f"`{name}` | {row.what}" if number == 0 else " | "
            met = {True: "yes", False: "**no**", None: "-"}[item.met]
            lines.append(f"| {first} | {item.target} | {item.measured} | {met} |")
        lines += [f"| | | {who} failed | {_cell(why)} | - |" for who, why in seen.failures.items()]
    return "\n".join(lines)


def _peers(records: list[Record]) -> str:
    """Everybody's own figures, for those who want more than ratios."""
    versions = next(record for record in records if record["row"] == "facts")["peers"]
    rows = {
        name: Measured(record for record in records if record["row"] == name)
        for name in ("throughput", "sleep1ms", "pickup")
    }
    lines = [
        "| | version | no-op jobs/s | CPU a job, µs | 1 ms jobs/s | pickup p50, µs | p99, µs |",
        "|---|---|---|---|---|---|---|",
    ]
    for system in ("worker", "bare", *versions):
        figures = [
            rows["throughput"].of(system, "jobs_per_s"),
            rows["throughput"].of(system, "cpu_us"),
            rows["sleep1ms"].of(system, "jobs_per_s"),
            rows["pickup"].of(system, "p50_us"),
            rows["pickup"].of(system, "p99_us"),
        ]
        cells = [figure.text("{:,.0f}") if figure else "not run" for figure in figures]
        lines.append(" | ".join([f"| {system}", versions.get(system, ""), *cells]) + " |")
    absent = [record for record in records if record["row"] == "peers"]
    lines += [f"| {r['system']} | could not be installed: {_cell(r['failed'])} |" for r in absent]
    return "\n".join(lines)


def _cell(text: str) -> str:
    """The last line of a message, fit for a table."""
    return text.strip().rpartition("\n")[2].replace("|", "/").replace(str(README.parent), "")[:200]
