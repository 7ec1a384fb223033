"""``python -m magpie_hub`` and ``magpie-hub`` are the command.

From its first moment on an interrupt or a SIGTERM ends it with the same line and exit status.
"""

import os
import signal

ENDED = (
    "magpie-hub: interrupted; finished rows are in the journal, and the same command goes on from "
    "there"
)


def end_at_once(number: int, frame: object = None) -> None:
    """Ends the process where nothing is under way: it says so and is gone."""
    try:
        os.write(2, f"{ENDED}\n".encode())
    finally:  # whether anybody listens or not
        os._exit(128 + number)


def main() -> None:
    """Runs the command and exits."""
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup, or in the background
            signal.signal(number, end_at_once)
    from magpie_hub.cli import main as run

    run()


if __name__ == "__main__":
    main()
