"""Whether the handlers of an item's key could use it: for commands, before a job meets it."""

from collections.abc import Mapping

from worker.app import App
from worker.execution.bound_handler import BoundHandler
from worker.jobs.config_item import ConfigItem, plain
from worker.jobs.policy import Policy, policy_problems


class ItemCheck:
    """Checks items for the handlers of an app. Without an app it checks policies alone.

    Raise HandlerError like `BoundHandler`.
    """

    def __init__(self, app: App | None, settings: Policy) -> None:
        handlers = app.handlers.values() if app else ()
        self._handlers = {handler.name: BoundHandler(handler, settings) for handler in handlers}
        self._takers = [handler.name for handler in handlers if "config" in handler.takes]

    def problem(self, item: ConfigItem) -> str | None:
        """Return which attribute can't be used and why; None where the item can be used.

        An item under a handler's name is that handler's. Any other may be named by the job of any
        handler, and one that can use it is enough. Where it has more than a policy, that is one of
        those that take a config.
        """
        if item.problem is not None:
            return item.problem
        policy = item.policy
        problems = policy_problems({} if policy is None else plain(policy))
        if problems:
            return "; ".join(map(str, problems))
        if item.key in self._handlers:
            return self._handlers[item.key].view(item).problem
        names = self._takers if item.plain else self._handlers
        return _of_all({name: self._handlers[name].view(item).problem for name in names})


def _of_all(problems: Mapping[str, str | None]) -> str | None:
    """Return what is wrong where no handler can use an item."""
    refused = [(name, problem) for name, problem in problems.items() if problem is not None]
    if not refused or len(refused) < len(problems):
        return None
    return "no handler can use it: " + "; ".join(f"{name}: {problem}" for name, problem in refused)
