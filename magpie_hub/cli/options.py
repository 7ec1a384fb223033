"""What several verbs share: options, and where a run's live line and log are."""

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
    help="File of findings that a person has looked at, a line each, as scan prints them.",
)
repo_option = click.option(
    "--repo-id", help="NAMESPACE/NAME; the recipe's, or your own magpie-NAME by default."
)
yes_option = click.option(
    "--yes",
    is_flag=True,
    help="Do not ask when a changed setting leaves rows behind that are then made anew.",
)
set_option = click.option(
    "--set",
    NAME,
    multiple=True,
    metavar="KEY=VALUE",
    help="Any key of the recipe, for this run: --set respond.max_tokens=512. May be repeated.",
)
variant_option = click.option(
    "--variant", "name", required=True, help="A variant's name or a recipe's path."
)


def override_options(*without: str) -> Callable[[Command], Command]:
    """Adds an option for every override of a recipe, but for those named, and one for any key."""

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
    """What a long run tells a person.

    Attributes:
        say: Takes a line.
        watch: Takes how far it is.
        log: Where the engine's chatter goes.
    """

    say: Callable[[str], None]
    watch: Callable[[Progress], None]
    log: Path


@contextmanager
def live(name: str) -> Iterator[Live]:
    """Keeps the terminal for the person, with a live line; everything else goes to a log.

    Args:
        name: Of the recipe; the log is named after it.
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
    """A new log file, named after what runs and when."""
    from magpie_hub.paths import home

    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S-%f")
    return home() / LOGS / f"{name}-{stamp}.log"


def lines(path: Path | None) -> tuple[str, ...]:
    """The lines of the file that --reviewed names.

    Raises:
        UserError: It cannot be read.
    """
    if path is None:
        return ()
    try:
        return tuple(path.read_text(encoding="utf-8").splitlines())
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"--reviewed {path}: cannot be read: {error}") from None
