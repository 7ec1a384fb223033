"""The command: `magpie-hub`. Each verb parses, calls one function of the package, and prints.

Exit status: 0 done; 2 the caller's mistake, in one line; 3 what was looked at is not as it should
be (new rows that a drift gate refused, findings of a scan, problems of a verified repository); 1
anything else; 130 interrupted. With ``--json`` stdout holds one object and nothing else.
"""

from __future__ import annotations

import os
import sys
from importlib.metadata import version

import click

from magpie_hub.cli.make import build, check, init, probe, variants
from magpie_hub.cli.options import SETTINGS
from magpie_hub.cli.publish import card, push, scan, verify
from magpie_hub.cli.regenerate import regenerate
from magpie_hub.cli.schedule import schedule
from magpie_hub.errors import MagpieError
from magpie_hub.recipe.knobs import warn_of_typos


def main() -> None:
    """Runs the command and exits."""
    try:
        magpie_hub.main(standalone_mode=False)
    except MagpieError as error:
        click.echo(f"magpie-hub: {error}", err=True)
        sys.exit(error.exit_code)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
    except click.ClickException as error:
        context = getattr(error, "ctx", None)
        path = context.command_path if context else "magpie-hub"
        click.echo(f"magpie-hub: {error.format_message()} (see {path} --help)", err=True)
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo(
            "magpie-hub: interrupted; finished rows are in the journal, and the same command goes "
            "on from there",
            err=True,
        )
        sys.exit(130)


@click.group(context_settings=SETTINGS)
@click.version_option(version("magpie-hub"), prog_name="magpie-hub")
def magpie_hub() -> None:
    """Make and publish alignment data with the Magpie method.

    NAME is a variant's name (see `magpie-hub variants`), or the path of a recipe of your own or of
    the folder that it lies in.
    """
    warn_of_typos(os.environ)


for verb in (
    *(build, push, regenerate, schedule),
    *(verify, card, scan, check, variants, probe, init),
):
    magpie_hub.add_command(verb)
