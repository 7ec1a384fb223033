"""The command: `magpie-hub`. Each verb parses, calls one function of the package, and prints.

Exit status: 0 done; 2 the caller's mistake, in one line; 3 a check failed (a drift gate refused new
rows, a scan has findings, a verified repository has problems); 1 any other failure; 130
interrupted; 143 ended by SIGTERM; 141 stdout was closed by its reader. With ``--json`` stdout holds
one object and nothing else.
"""

from __future__ import annotations

import os
import signal
import sys
from importlib.metadata import version

import click

from magpie_hub.cli import streams
from magpie_hub.cli.make import build, check, init, probe, variants
from magpie_hub.cli.options import SETTINGS
from magpie_hub.cli.publish import card, push, scan, verify
from magpie_hub.cli.regenerate import regenerate
from magpie_hub.cli.schedule import schedule
from magpie_hub.cli.signals import ENDED, end_at_once
from magpie_hub.errors import MagpieError
from magpie_hub.paths import missing_identity
from magpie_hub.recipe.overrides import warn_of_typos


class Terminated(KeyboardInterrupt):
    """A SIGTERM; it ends the command as an interrupt does."""


def main() -> None:
    """Runs the command and exits."""
    streams.secure()
    _take_signals()
    os.environ.update(missing_identity())  # This process is the command's own.
    try:
        status = _run()
    except OSError:
        if (error := streams.stdout_error()) is None:
            raise
        status = _unwritten(error)
    else:
        if (error := streams.stdout_error()) is not None:
            status = _unwritten(error)
    sys.exit(status)


def _run() -> int:
    """Runs the verb; returns the exit status."""
    try:
        done = magpie_hub.main(standalone_mode=False)
        return done if isinstance(done, int) else 0
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else int(error.code is not None)
    except MagpieError as error:
        click.echo(f"magpie-hub: {error}", err=True)
        return error.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        return 0
    except click.ClickException as error:
        context = getattr(error, "ctx", None)
        path = context.command_path if context else "magpie-hub"
        click.echo(f"magpie-hub: {error.format_message()} (see {path} --help)", err=True)
        return error.exit_code
    except (click.Abort, KeyboardInterrupt) as error:
        # A second signal does not wait until everything is closed.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, end_at_once)
        click.echo(ENDED, err=True)
        terminated = any(isinstance(one, Terminated) for one in (error, error.__cause__))
        return 128 + (signal.SIGTERM if terminated else signal.SIGINT)


def _take_signals() -> None:
    """Makes an interrupt and a SIGTERM raise an exception, so that open things are closed."""

    def terminate(number: int, frame: object) -> None:
        raise Terminated

    for number, take in (
        (signal.SIGINT, signal.default_int_handler),
        (signal.SIGTERM, terminate),
    ):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, take)


def _unwritten(error: OSError) -> int:
    """Reports that stdout cannot be written, unless its reader closed it; returns the status."""
    streams.drop_stdout()
    if isinstance(error, BrokenPipeError):
        return 128 + signal.SIGPIPE
    click.echo(f"magpie-hub: stdout cannot be written ({error.strerror})", err=True)
    return 1


@click.group(context_settings=SETTINGS)
@click.version_option(version("magpie-hub"), prog_name="magpie-hub")
def magpie_hub() -> None:
    """Make and publish alignment data with the Magpie method.

    NAME is a variant's name (see `magpie-hub variants`), or the path of your own recipe or of its
    folder.
    """
    warn_of_typos(os.environ)


for verb in (
    *(build, push, regenerate, schedule),
    *(verify, card, scan, check, variants, probe, init),
):
    magpie_hub.add_command(verb)
