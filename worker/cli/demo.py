"""`worker demo`: the whole thing on servers of its own."""

from typing import Annotated

import typer

from worker.cli.common import complain


def demo(
    keep: Annotated[
        bool, typer.Option("--keep", "-k", help="Leave the servers up, and show how to use them.")
    ] = False,
) -> None:
    """See it work: webhook delivery, on servers of its own."""
    from worker.errors import WorkerError

    try:
        from worker.demo.story import play

        play(keep=keep)
    except KeyboardInterrupt:
        typer.echo("\nStopped; nothing is left running.", err=True)
        raise typer.Exit(130) from None
    except (WorkerError, TimeoutError) as error:
        complain(str(error))
        raise typer.Exit(1) from None
