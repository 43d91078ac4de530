"""The commands and what they share."""

import typer

from worker.cli import demo, run

app = typer.Typer(
    name="worker",
    help="Jobs from a Redis list, their config from DynamoDB, their results back in Redis.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,  # rich takes longer to import than all the rest of --help
    pretty_exceptions_enable=False,
)
app.command("run")(run.run)
app.command("demo")(demo.demo)


@app.callback()
def _main() -> None:
    """Settings come from WORKER_* in the environment or .env; AWS settings are botocore's own."""
