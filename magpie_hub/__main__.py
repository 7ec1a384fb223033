"""The entry points ``python -m magpie_hub`` and ``magpie-hub``.

From its first moment on an interrupt or a SIGTERM ends it with the same line and exit status.
"""

import signal

from magpie_hub.cli.signals import end_at_once


def main() -> None:
    """Runs the command and exits."""
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup, or in the background
            signal.signal(number, end_at_once)
    from magpie_hub.cli.main import main as run

    run()


if __name__ == "__main__":
    main()
