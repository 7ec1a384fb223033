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
@click.option("--refresh", is_flag=True, help="Generate all rows again, with the current recipe.")
@click.option("--push", is_flag=True, help="Publish the rows if they pass the drift gates.")
@click.option("--tick", help="Name of this tick, which is done once; by default the date (UTC).")
@click.option(
    "--state", help="Folder or URL that keeps a killed tick's work; by default the recipe's."
)
@click.option(
    "--out", type=click.Path(path_type=Path), help="Release folder; ./NAME-next by default."
)
@click.option(
    "--report",
    type=click.Path(path_type=Path),
    help="File for the drift report, in Markdown; ./NAME-report.md by default.",
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
    """Add rows to a published dataset, or refuse them: one tick of a schedule.

    Continues the release at the Hub's head: row ids and seeds continue, no published row is
    repeated, earlier shards do not change. The new rows are compared with the published ones; if
    they pass, one commit with the day's tag publishes them. A tick that is published already
    changes nothing; one that was killed continues. Exit status 3: the new rows were refused, and
    the report says why. The options after --reviewed override the recipe for this run.
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
