"""`worker` and `python -m worker`."""


def main() -> None:
    """Run the command line."""
    from worker.cli import app  # noqa: PLC0415 - `import worker.__main__` stays without effect

    app(prog_name="worker")


if __name__ == "__main__":
    main()
