"""The commands and what they share."""

import typer

from worker.cli import check, config, dead, demo, push, result, run, status

app = typer.Typer(
    name="worker",
    help="Jobs from a Redis list, their config from DynamoDB, their results back in Redis.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,  # rich takes longer to import than all the rest of --help
    pretty_exceptions_enable=False,
)
app.command("run")(run.run)
app.command("push")(push.push)
app.command("result")(result.result)
app.add_typer(config.app, name="config")
app.command("status")(status.status)
app.add_typer(dead.app, name="dead")
app.command("check")(check.check)
app.command("demo")(demo.demo)


@app.callback()
def _main() -> None:
    """Settings come from WORKER_* in the environment or .env; AWS settings are botocore's own."""
