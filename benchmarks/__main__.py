"""`uv run python -m benchmarks run|table|plots|profile`: see README.md."""

import argparse

from benchmarks.rows import ROWS
from benchmarks.venvs import REQUIREMENTS


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="measure the rows of the table")
    run.add_argument("--only", type=_names(ROWS), default=list(ROWS), metavar="ROW,ROW")
    run.add_argument(
        "--peers", type=_names(REQUIREMENTS), default=list(REQUIREMENTS), metavar="NAME,NAME"
    )
    run.add_argument("--pairs", type=int, default=5, help="how often each is measured (5)")
    run.add_argument("--quick", action="store_true", help="only show that it runs; no peers")
    run.add_argument("--write", action="store_true", help="put the table in README.md")
    table = commands.add_parser("table", help="the table of the run before, once more")
    table.add_argument("--write", action="store_true", help="put the table in README.md")
    plots = commands.add_parser("plots", help="cost as work grows, drawn to plots/*.svg")
    plots.add_argument("--quick", action="store_true", help="only show that it runs")
    profile = commands.add_parser("profile", help="where each microsecond of a job goes")
    profile.add_argument("--handler", default="noop", choices=["noop", "sleep1ms"])
    _do(parser.parse_args())


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
    from benchmarks import report, runner  # noqa: PLC0415 - `--help` is quick
    from benchmarks.rows.row import QUICK, Sizes  # noqa: PLC0415

    if chosen.command == "table":
        records = runner.last_run()
    elif chosen.quick:
        records = runner.run(chosen.only, [], 1, QUICK)
    else:
        records = runner.run(chosen.only, chosen.peers, chosen.pairs, Sizes())
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
