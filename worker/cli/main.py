"""The commands and what they share."""

from worker.cli import check, config, dead, demo, push, result, run, status
from worker.cli.common import group

app = group(
    name="worker",
    help="Jobs from a Redis list, their config from DynamoDB, their results back in Redis.",
    epilog="Settings come from WORKER_* in the environment or .env; AWS settings are botocore's.",
)
app.command("run")(run.run)
app.command("push")(push.push)
app.command("result")(result.result)
app.add_typer(config.app, name="config")
app.command("status")(status.status)
app.add_typer(dead.app, name="dead")
app.command("check")(check.check)
app.command("demo")(demo.demo)
