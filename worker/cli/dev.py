"""`worker dev`: a worker on servers of its own, which edits start again."""

from typing import Annotated

import typer

from worker.cli.common import complain, wants_colours


def dev(
    target: Annotated[str, typer.Argument(metavar="MODULE:APP", help="Where the App is.")],
) -> None:
    """Try your app: a worker on servers of its own, which edits start again.

    Starts a Valkey and a DynamoDB for it, with the items of configs.json in the current folder, and
    shows what to push in another shell. Needs no AWS account, and never uses what WORKER_REDIS_URL
    or AWS_* name. Needs the extra `dev`.
    """
    from worker.cli import environment
    from worker.errors import WorkerError

    try:
        unknown = environment.unknown()
        if unknown:
            complain(f"no setting has these variables, they are ignored: {unknown}")
        from worker.dev.session import serve

        serve(target, coloured=wants_colours())
    except KeyboardInterrupt:
        typer.echo("\nStopped; nothing is left running.", err=True)
        raise typer.Exit(130) from None
    except WorkerError as error:
        complain(str(error))
        raise typer.Exit(1) from None
