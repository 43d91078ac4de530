"""The command line: arguments, exit codes, output. Commands import what they need when they run,
so that `--help` is quick.
"""

from worker.cli.main import app, run_command_line

__all__ = ["app", "run_command_line"]
