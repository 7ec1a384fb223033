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
"""Exit status of a check that ran and found problems."""


@click.command(context_settings=SETTINGS)
@variant_option
@click.option(
    "--folder",
    type=click.Path(path_type=Path),
    help="The release folder; by default the one that build writes.",
)
@click.option("--build", "build_first", is_flag=True, help="Build the release first.")
@yes_option
@repo_option
@click.option(
    "--private", is_flag=True, help="Make the repository private if this push creates it."
)
@click.option("--pr", "pull_request", is_flag=True, help="Propose the release as a pull request.")
@click.option("--tag", help="Another tag, beside the one that names the data.")
@click.option(
    "--replace", is_flag=True, help="Publish even if the published release has more rows."
)
@click.option("--dry-run", is_flag=True, help="Show what would be done, and do nothing.")
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

    Sends new files, removes old ones, keeps your edits of the card on the Hub, reads the commit
    back and tags it. Pushing the same release again changes nothing. A release with fewer rows than
    the published one is refused. The token is that of `hf auth login`, HF_TOKEN, or a trusted
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
        f"{published.bytes_reused / 1e6:,.1f} MB on the Hub already)"
    )
    if published.commit:
        click.echo(f"commit {published.commit}, tagged {', '.join(published.tags)}")


@click.command(context_settings=SETTINGS)
@click.argument("repo_id", metavar="REPO")
@click.option("--revision", help="Commit, branch or tag; the main branch by default.")
@as_json
def verify(repo_id: str, revision: str | None, as_json: bool) -> None:
    """Check that REPO on the Hub holds the release that its manifest describes.

    Exit status 3 if it does not, 1 or 2 if the check could not run.
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
@click.option("--repo-id", help="The repository that the card is for; the recipe's by default.")
def card(folder: Path, repo_id: str | None) -> None:
    """Print the dataset card of the release in FOLDER, as push would send it."""
    from magpie_hub import api

    # A card is UTF-8, whatever the terminal's encoding is.
    click.echo(api.card(folder, repo_id).encode(), nl=False)


@click.command(context_settings=SETTINGS)
@click.argument("folder", type=click.Path(path_type=Path))
@reviewed_option
@as_json
def scan(folder: Path, reviewed: Path | None, as_json: bool) -> None:
    """Scan the release in FOLDER for secrets and personal data.

    Prints each finding that is not reviewed yet on one line, which can be put into the file of
    --reviewed. Exit status 3 if there are findings, 1 or 2 if the scan could not run.
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
