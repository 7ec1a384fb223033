"""The verbs that publish: `push`, `verify`, `card`, `scan`."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from functools import partial
from pathlib import Path

import click

from magpie_hub.cli.make import build_live
from magpie_hub.cli.options import (
    SETTINGS,
    as_json,
    lines,
    repo_option,
    reviewed_option,
    set_option,
    variant_option,
    yes_option,
)

FOUND = 3
"""Exit status of a look that went well and found what must not be."""


@click.command(context_settings=SETTINGS)
@variant_option
@click.option(
    "--folder",
    type=click.Path(path_type=Path),
    help="Its release folder; by default where build leaves it.",
)
@click.option("--build", "build_first", is_flag=True, help="Build the release first.")
@yes_option
@repo_option
@click.option("--private", is_flag=True, help="Make the repository private, if it is made now.")
@click.option("--pr", "pull_request", is_flag=True, help="Propose the release as a pull request.")
@click.option("--tag", help="A tag of your own, beside the one that names the data.")
@click.option(
    "--replace", is_flag=True, help="Publish it even if a release of more rows is published."
)
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@reviewed_option
@set_option
@as_json
def push(
    name: str,
    folder: Path | None,
    build_first: bool,
    yes: bool,
    repo_id: str | None,
    private: bool,
    pull_request: bool,
    tag: str | None,
    replace: bool,
    dry_run: bool,
    reviewed: Path | None,
    settings: tuple[str, ...],
    as_json: bool,
) -> None:
    """Publish a release to the Hub: in one commit, or not at all.

    Sends what is new, removes what is stale, keeps what was written into the card on the Hub, reads
    the commit back and tags it. Pushing what is there already changes nothing, and fewer rows than
    are there are refused. The token is the one of `hf auth login`, HF_TOKEN, or a trusted
    publisher's in CI.
    """
    from magpie_hub import api

    say = partial(click.echo, err=True)
    if build_first:
        build_live(name, folder, yes=yes, settings=settings)
    published = api.push(
        name,
        folder,
        repo_id=repo_id,
        private=private,
        pull_request=pull_request,
        tag=tag,
        dry_run=dry_run,
        reviewed=lines(reviewed),
        replace=replace,
        settings=settings,
        say=say,
    )
    if as_json:
        click.echo(json.dumps(asdict(published), ensure_ascii=False))
        return
    if published.card_diff:
        click.echo(published.card_diff)
    if published.state == "planned":
        for path in published.added:
            click.echo(f"would write   {path}")
    for path in published.deleted:
        click.echo(f"{'would remove ' if published.state == 'planned' else 'removed'} {path}")
    click.echo(
        f"{published.state}: {published.url} ({published.bytes_new / 1e6:,.1f} MB new, "
        f"{published.bytes_reused / 1e6:,.1f} MB there already)"
    )
    if published.commit:
        click.echo(f"commit {published.commit}, tagged {', '.join(published.tags)}")


@click.command(context_settings=SETTINGS)
@click.argument("repo_id", metavar="REPO")
@click.option("--revision", help="Commit, branch or tag; the main branch by default.")
@as_json
def verify(repo_id: str, revision: str | None, as_json: bool) -> None:
    """Check that REPO on the Hub holds the release that its manifest says it holds.

    Exit status 3 if it does not, 1 or 2 if that could not be seen.
    """
    from magpie_hub import api

    found = api.verify(repo_id, revision)
    if as_json:
        click.echo(json.dumps(asdict(found), ensure_ascii=False))
    else:
        for problem in found.problems:
            click.echo(problem)
        state = "not as its manifest says" if found.problems else "as its manifest says"
        click.echo(
            f"{found.repo_id} at {found.commit}: {found.name}, {found.rows:,} rows, "
            f"{found.files} files, {state}"
        )
    if found.problems:
        sys.exit(FOUND)


@click.command(context_settings=SETTINGS)
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--repo-id", help="Where it is to be published; the recipe's by default.")
def card(folder: Path, repo_id: str | None) -> None:
    """Print the dataset card of the release in FOLDER, as push would send it."""
    from magpie_hub import api

    # A card is UTF-8, whatever the terminal takes.
    click.echo(api.card(folder, repo_id).encode(), nl=False)


@click.command(context_settings=SETTINGS)
@click.argument("folder", type=click.Path(path_type=Path))
@reviewed_option
@as_json
def scan(folder: Path, reviewed: Path | None, as_json: bool) -> None:
    """Look through the release in FOLDER for secrets and personal data.

    Prints what was not reviewed yet, a line each that begins as --reviewed wants it. Exit status 3
    if there is anything, 1 or 2 if it could not be looked for.
    """
    from magpie_hub import api

    found = api.scan(folder, lines(reviewed))
    if as_json:
        click.echo(json.dumps(found.to_json(), ensure_ascii=False))
    else:
        for finding in found.findings:
            click.echo(f"{finding.mark}  # {finding.shown}  {finding.place}")
        click.echo(
            f"{found.rows:,} rows: {sum(found.counts.values())} findings, {found.allowed} reviewed",
            err=True,
        )
    if not found.clean:
        sys.exit(FOUND)
