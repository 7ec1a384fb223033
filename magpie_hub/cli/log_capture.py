"""Sends the output of engines to a log file, so that the terminal shows only our own lines.

Python loggers write to the file; what native code and child processes write to stdout and stderr is
caught below Python, by file descriptor. Only the command does that: a library must not take its
caller's streams away.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from magpie_hub.cli import streams
from magpie_hub.errors import OutputError
from magpie_hub.text import RedactingFormatter

LOGGERS = (
    *("vllm", "transformers", "torch", "huggingface_hub", "httpx", "httpcore", "openai"),
    *("magpie_hub", "py.warnings"),
)


@contextlib.contextmanager
def capture_output(path: Path) -> Iterator[TextIO]:
    """Sends everything that is written to stdout, stderr and the loggers to a file.

    Args:
        path: The log file; created with its folder, and appended to.

    Yields:
        The terminal: a stream to the former stderr, for messages to the user.

    Raises:
        OutputError: The log cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        log = path.open("ab", buffering=0)
    except OSError as error:
        raise OutputError(
            f"{path}: the log cannot be written ({error.strerror}); set MAGPIE_HOME to a folder "
            "that can"
        ) from error
    sys.stdout.flush()
    sys.stderr.flush()
    saved = [os.dup(1), os.dup(2)]
    terminal = streams.terminal(os.dup(2), close=True)
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(RedactingFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    states = []
    for name in LOGGERS:
        logger = logging.getLogger(name)
        states.append((logger, logger.level, logger.propagate, logger.handlers[:]))
        logger.handlers[:] = [handler]
        logger.setLevel(logging.INFO)
        logger.propagate = False
    logging.captureWarnings(True)
    warnings.simplefilter("default")
    os.dup2(log.fileno(), 1)
    os.dup2(log.fileno(), 2)
    try:
        yield terminal
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os.dup2(saved[0], 1)
        os.dup2(saved[1], 2)
        for descriptor in saved:
            os.close(descriptor)
        logging.captureWarnings(False)
        for logger, level, propagate, handlers in states:
            logger.setLevel(level)
            logger.propagate = propagate
            logger.handlers[:] = handlers
        handler.close()
        log.close()
        terminal.close()
