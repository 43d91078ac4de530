"""Which event loop something belongs to."""

import asyncio

from worker.errors import NotOpen


class HomeLoop:
    """The event loop that runs when this is made.

    A socket works only in the event loop that opened it. Used in another, it loses replies, and
    the home loop ends with "Event loop is closed" later. `check` fails at once instead.
    """

    def __init__(self, message: str) -> None:
        self._loop = asyncio.get_running_loop()
        self._message = message

    def check(self) -> None:
        """Raise NotOpen, with the message, unless the caller runs in this loop."""
        if running_loop() is not self._loop:
            raise NotOpen(self._message)

    def check_unless_in_thread(self) -> None:
        """Raise NotOpen, with the message, if the caller runs in another loop.

        A thread without a loop passes: it can hand what it gets here to the home loop.
        """
        if running_loop() not in (None, self._loop):
            raise NotOpen(self._message)

    @property
    def is_running_here(self) -> bool:
        """Whether the caller runs in this loop."""
        return running_loop() is self._loop


def running_loop() -> asyncio.AbstractEventLoop | None:
    """Return the event loop that runs in this thread, or None."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
