"""`uv run python -m benchmarks run|table|plots|profile`: see README.md."""

import argparse

from benchmarks.rows import ROWS
from benchmarks.venvs import REQUIREMENTS

# The rows that are compared with another revision. See against.py, which takes long to import.
COMPARED = ("throughput", "pickup", "roundtrip", "idle", "startup")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="measure the rows of the table")
    run.add_argument("--only", type=_names(ROWS), metavar="ROW,ROW")
    run.add_argument(
        "--peers", type=_names(REQUIREMENTS), default=list(REQUIREMENTS), metavar="NAME,NAME"
    )
    run.add_argument("--pairs", type=int, default=5, help="how often each is measured (5)")
    run.add_argument("--quick", action="store_true", help="only show that it runs; no peers")
    run.add_argument("--write", action="store_true", help="put the table in README.md")
    run.add_argument(
        "--against",
        metavar="REV",
        help="this version beside another revision: " + ", ".join(COMPARED),
    )
    table = commands.add_parser("table", help="the table of the run before, once more")
    table.add_argument("--write", action="store_true", help="put the table in README.md")
    plots = commands.add_parser("plots", help="cost as work grows, drawn to plots/*.svg")
    plots.add_argument("--quick", action="store_true", help="only show that it runs")
    profile = commands.add_parser("profile", help="where each microsecond of a job goes")
    profile.add_argument("--handler", default="noop", choices=["noop", "sleep1ms"])
    chosen = parser.parse_args()
    if chosen.command == "run" and chosen.against:
        if chosen.write:
            parser.error("--write is for the table of targets: leave out --against")
        if unknown := set(chosen.only or ()) - set(COMPARED):
            parser.error(f"--against compares {', '.join(COMPARED)}; not {', '.join(unknown)}")
    _do(chosen)


def _do(chosen: argparse.Namespace) -> None:
    if chosen.command in ("run", "table"):
        _measure(chosen)
    elif chosen.command == "plots":
        from benchmarks import plots  # noqa: PLC0415 - needs the group `benchmarks`

        plots.draw(quick=chosen.quick)
    else:
        from benchmarks import profiler  # noqa: PLC0415 - same

        print(profiler.profile(chosen.handler))


def _measure(chosen: argparse.Namespace) -> None:
    from benchmarks import against, report, runner  # noqa: PLC0415 - `--help` is quick
    from benchmarks.rows.row import QUICK, Sizes  # noqa: PLC0415

    if chosen.command == "table":
        records = runner.last_run()
    else:
        sizes, pairs = (QUICK, 1) if chosen.quick else (Sizes(), chosen.pairs)
        if chosen.against:
            rows = chosen.only or COMPARED
            records = runner.run_against(chosen.against, rows, pairs, sizes)
        else:
            peers = [] if chosen.quick else chosen.peers
            records = runner.run(chosen.only or ROWS, peers, pairs, sizes)
    if any("against" in record for record in records):
        print(against.markdown(records))
        return
    print(report.markdown(records))
    if chosen.write:
        report.write(records)


def _names(known: dict[str, object]) -> object:
    def parse(text: str) -> list[str]:
        names = [name for name in text.split(",") if name]
        for name in names:
            if name not in known:
                raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(known)}")
        return names

    return parse


if __name__ == "__main__":
    main()
