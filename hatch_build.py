"""Puts what `worker demo` runs into a wheel. In a checkout it is in its place, `examples/`."""

from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class ExampleOfTheDemo(BuildHookInterface):  # type: ignore[misc, type-arg, unused-ignore]
    """Copies the one example into wheels that are no editable ones."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Name the file and its place in the wheel."""
        if version == "standard":
            example = "examples/webhooks.py"
            build_data["force_include"][example] = f"worker/demo/installed/{example}"
