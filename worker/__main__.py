"""`worker` and `python -m worker`."""


def main() -> None:
    """Run the command line. What can go wrong before anything else runs is seen to first."""
    # Imported here, so that `import worker.__main__` has no effect; in this order, so that each
    # protects the imports that follow.
    from worker.runtime import search_path

    search_path.leave_out_current_folder()
    from worker.runtime import signals, streams

    signals.end_on_signals()
    streams.open_closed_streams()
    streams.print_anything()
    from worker.cli import run_command_line

    run_command_line()


if __name__ == "__main__":
    main()
