"""A thread that saves at intervals, and once more at the end.

A file system that cannot be reached does not stop the run: `say` is called once, and the next
interval tries again.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from magpie_hub.errors import MagpieError


class Autosave:
    """Saves in the background, from `start` to `stop`.

    Args:
        save: Saves what is new; called on the thread, one call at a time.
        every: Seconds between two saves.
        say: Called with a line on each failure, on the thread.
        where: The folder that would be lost with this machine, for the last message.
    """

    def __init__(
        self, save: Callable[[], object], every: float, say: Callable[[str], None], where: str
    ) -> None:
        self._save = save
        self._every = every
        self._say = say
        self._where = where
        self._ending = threading.Event()
        self._failed: MagpieError | None = None
        self._bug: BaseException | None = None
        self._thread = threading.Thread(target=self._main, name="magpie-state", daemon=True)

    def start(self) -> None:
        """Begins."""
        self._thread.start()

    def stop(self) -> None:
        """Saves once more and ends; failures of the file system go to `say`."""
        self._ending.set()
        self._thread.join()
        if self._bug is not None:
            raise self._bug

    def _main(self) -> None:
        try:
            while not self._ending.wait(self._every):
                self._try()
            self._try()
            if self._failed is not None:
                self._say(
                    f"the last checkpoint was not saved: {self._failed}; what came since the one "
                    f"before is on this machine only ({self._where})"
                )
        except BaseException as error:  # noqa: BLE001 - raised again by stop()
            self._bug = error

    def _try(self) -> None:
        before, self._failed = self._failed, None
        try:
            self._save()
        except MagpieError as error:
            self._failed = error
            if before is None and not self._ending.is_set():
                self._say(
                    f"{error}; the run continues, and the checkpoint is tried again every "
                    f"{self._every:.0f} s"
                )
        else:
            if before is not None:
                self._say("checkpoints are saved again")
