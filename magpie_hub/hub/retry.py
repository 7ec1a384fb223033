"""Patience with a Hub that is busy: asking again, and saying in the end what it holds."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from magpie_hub.errors import HubError
from magpie_hub.hub.client import Busy

T = TypeVar("T")

ATTEMPTS = 5
"""Times that something is asked or tried before a push gives up."""


class Retry:
    """Asks the Hub until it answers.

    Args:
        repo_id: The repository that is asked about.
        say: Told of every wait, a line each.
        sleep: Waits so many seconds.

    Attributes:
        holds: What the repository holds, as far as is known; whoever changes it says so here.
    """

    def __init__(
        self, repo_id: str, say: Callable[[str], None], sleep: Callable[[float], None]
    ) -> None:
        self.holds = "what it held before"
        self._repo_id = repo_id
        self._say = say
        self._sleep = sleep

    def ask(self, question: Callable[[], T]) -> T:
        """Asks until there is an answer.

        Raises:
            HubError: There is none.
        """
        for attempt in range(ATTEMPTS):
            try:
                return question()
            except Busy as busy:
                if attempt == ATTEMPTS - 1:
                    raise self.give_up(str(busy)) from None
                self.wait(busy, attempt)
        raise AssertionError

    def give_up(self, why: str) -> HubError:
        """What is raised in the end."""
        return HubError(f"{why}; {self._repo_id} holds {self.holds}; run again to go on")

    def wait(self, busy: Busy, attempt: int) -> None:
        """Waits as long as the Hub asks, or twice as long as the last time."""
        seconds = 2.0**attempt if busy.wait is None else busy.wait
        self._say(f"{busy}; trying again in {seconds:.0f} s")
        self._sleep(seconds)
