"""The verb `regenerate`: one tick of a schedule."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from magpie_hub.cli.options import (
    SETTINGS,
    as_json,
    lines,
    live,
    override_options,
    repo_option,
    reviewed_option,
    variant_option,
)


@click.command(context_settings=SETTINGS)
@variant_option
@repo_option
@click.option("--grow", type=click.IntRange(1), help="Rows to add; the recipe's by default.")
@click.option("--refresh", is_flag=True, help="Make all rows anew, with the recipe as it is now.")
@click.option("--push", is_flag=True, help="Publish what passes the gates.")
@click.option("--tick", help="Name of this tick, which is done once; the day, in UTC, by default.")
@click.option("--state", help="Folder or URL where a killed tick's work is kept; the recipe's.")
@click.option(
    "--out", type=click.Path(path_type=Path), help="Release folder; ./NAME-next by default."
)
@click.option(
    "--report",
    type=click.Path(path_type=Path),
    help="The gates' figures, in Markdown; ./NAME-report.md by default.",
)
@reviewed_option
@override_options("rows")
@as_json
def regenerate(
    name: str,
    repo_id: str | None,
    grow: int | None,
    refresh: bool,
    push: bool,
    tick: str | None,
    state: str | None,
    out: Path | None,
    report: Path | None,
    reviewed: Path | None,
    as_json: bool,
    **overrides: Any,
) -> None:
    """Add rows to a published dataset, or refuse to: one tick of a schedule.

    Goes on from the release at the Hub's head: row ids and seeds continue, nothing published is
    repeated, earlier shards stay as they are. The new rows are compared with the published ones;
    what passes is published in one commit with the day's tag. A tick that was published changes
    nothing; one that was killed goes on. Exit status 3: the new rows were refused, and the report
    says why. The options after --reviewed are the recipe's settings for this run.
    """
    from magpie_hub.recipe.load import load_recipe
    from magpie_hub.recipe.variants import find_recipe
    from magpie_hub.regenerate.run import regenerate as run
    from magpie_hub.regenerate.tick import Tick

    seen = lines(reviewed)
    asked = Tick(name, repo_id, tick, grow, refresh, push, out, report, state, seen, overrides)
    with live(load_recipe(find_recipe(name)).name) as shown:
        done = run(asked, say=shown.say, watch=shown.watch, how="{option}", main_guarded=True)
    if as_json:
        click.echo(json.dumps(asdict(done) | {"log": str(shown.log)}, ensure_ascii=False))
    else:
        for warning in done.warnings:
            click.echo(f"warning: {warning}")
        click.echo(
            f"{done.state}: tick {done.tick} of {done.repo_id}, {done.added:,} rows of "
            f"{done.rows:,}, {done.tag}"
        )
        if done.out:
            click.echo(f"release: {done.out}\nreport:  {done.report}")
    click.echo(f"engine log: {shown.log}", err=True)
