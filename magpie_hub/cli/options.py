"""What several verbs share: options, the progress line and the log of a run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from magpie_hub.errors import UserError
from magpie_hub.paths import LOGS
from magpie_hub.recipe.overrides import OVERRIDES, Override
from magpie_hub.recipe.settings import NAME

if TYPE_CHECKING:
    from magpie_hub.generate.scheduler import Progress

SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 100}

Command = Callable[..., None]

as_json = click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")

reviewed_option = click.option(
    "--reviewed",
    type=click.Path(path_type=Path),
    help="File of reviewed findings, one per line, as scan prints them.",
)
repo_option = click.option(
    "--repo-id", help="NAMESPACE/NAME; by default the recipe's, or magpie-NAME in your namespace."
)
yes_option = click.option(
    "--yes",
    is_flag=True,
    help="Do not ask when a changed setting means that existing rows are generated again.",
)
set_option = click.option(
    "--set",
    NAME,
    multiple=True,
    metavar="KEY=VALUE",
    help="Set any key of the recipe for this run: --set respond.max_tokens=512. Repeatable.",
)
variant_option = click.option(
    "--variant", "name", required=True, help="A variant's name or a recipe's path."
)


def override_options(*without: str) -> Callable[[Command], Command]:
    """Adds an option for every override of a recipe, except those named, and `--set`."""

    def add(command: Command) -> Command:
        command = set_option(command)
        for override in reversed(OVERRIDES.values()):
            if override.name in without:
                continue
            switch = f"/--no-{override.name.replace('_', '-')}" if override.type is bool else ""
            command = click.option(
                override.option + switch,
                override.name,
                type=_click_type(override),
                default=None,
                help=override.help,
            )(command)
        return command

    return add


def _click_type(override: Override) -> Any:
    return click.Choice(override.choices) if override.choices else override.type


@dataclass(frozen=True, slots=True)
class Live:
    """Where a long run reports to.

    Attributes:
        say: Prints a line for the user.
        watch: Shows the progress.
        log: The engine's log file.
    """

    say: Callable[[str], None]
    watch: Callable[[Progress], None]
    log: Path


@contextmanager
def live(name: str) -> Iterator[Live]:
    """Shows a progress line on the terminal and sends all other output to a log.

    Args:
        name: The recipe's name; part of the log's name.
    """
    from magpie_hub.cli.log_capture import capture_output
    from magpie_hub.pipeline.progress import LiveLine

    log = log_path(name)
    with capture_output(log) as terminal:
        line = LiveLine(terminal)
        try:
            yield Live(line.say, line, log)
        finally:
            line.close()


def log_path(name: str) -> Path:
    """The path of a new log file, named after the recipe and the time."""
    from magpie_hub.paths import home

    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S-%f")
    return home() / LOGS / f"{name}-{stamp}.log"


def lines(path: Path | None) -> tuple[str, ...]:
    """The lines of the file that --reviewed names.

    Raises:
        UserError: The file cannot be read.
    """
    if path is None:
        return ()
    try:
        return tuple(path.read_text(encoding="utf-8").splitlines())
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"--reviewed {path}: cannot be read: {error}") from None
