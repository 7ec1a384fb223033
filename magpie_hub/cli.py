"""The command: `magpie-hub`. Each verb parses, calls one function of the package, and prints.

Exit status: 0 done; 2 the caller's mistake, in one line; 1 anything else; 130 interrupted.
With ``--json`` stdout holds one object and nothing else.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from magpie_hub.errors import MagpieError, UserError
from magpie_hub.recipe.knobs import KNOBS, Knob

if TYPE_CHECKING:
    from magpie_hub.release import Release

SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


Command = Callable[..., None]


def main() -> None:
    """Runs the command and exits."""
    try:
        magpie_hub.main(standalone_mode=False)
    except MagpieError as error:
        click.echo(f"magpie-hub: {error}", err=True)
        sys.exit(error.exit_code)
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


def knob_options(*without: str) -> Callable[[Command], Command]:
    """Adds an option for every knob of a recipe, but for those named."""

    def add(command: Command) -> Command:
        for knob in reversed(KNOBS.values()):
            if knob.name in without:
                continue
            switch = f"/--no-{knob.name.replace('_', '-')}" if knob.type is bool else ""
            command = click.option(
                knob.option + switch,
                knob.name,
                type=_click_type(knob),
                default=None,
                help=knob.help,
            )(command)
        return command

    return add


def _click_type(knob: Knob) -> Any:
    return click.Choice(knob.choices) if knob.choices else knob.type


as_json = click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")

reviewed_option = click.option(
    "--reviewed",
    type=click.Path(path_type=Path),
    help="File of findings that a person has looked at, a line each, as scan prints them.",
)


@click.group(context_settings=SETTINGS)
@click.version_option(version("magpie-hub"), prog_name="magpie-hub")
def magpie_hub() -> None:
    """Make and publish alignment data with the Magpie method.

    NAME is a variant's name (see `magpie-hub variants`) or the path of a recipe of your own.
    """


@magpie_hub.command(context_settings=SETTINGS)
@click.argument("name")
@click.option("--out", type=click.Path(path_type=Path), help="Release folder; ./NAME by default.")
@knob_options()
@as_json
def build(name: str, out: Path | None, as_json: bool, **knobs: Any) -> None:
    """Build the release folder of NAME, generating the rows that the journal lacks.

    The options below, after --out, are the recipe's settings for this run; each may also be given
    as MAGPIE_<NAME> in the environment. Killed or interrupted, the same command goes on where it
    stopped.
    """
    release, log = _build(name, out, **knobs)
    if as_json:
        found = {
            "path": str(release.path),
            "rows": release.rows,
            "funnel": release.funnel.to_json(),
            "saved": release.stats["saved"],
            "files": list(release.files),
            "log": str(log),
        }
        click.echo(json.dumps(found, ensure_ascii=False))
    else:
        click.echo(_funnel_text(release.stats))
        click.echo(f"release: {release.path}")
        click.echo(f"card:    {release.card}")
    click.echo(f"engine log: {log}", err=True)


def _build(name: str, out: Path | None, **knobs: Any) -> tuple[Release, Path]:
    """Builds with a live line; the release, and the log that holds the engine's chatter."""
    from magpie_hub import api
    from magpie_hub.chatter import divert
    from magpie_hub.progress import LiveLine

    job, folder = api.prepare(name, out, how="{option}", **knobs)
    log = _log_path(job.recipe.name)
    with divert(log) as terminal:
        line = LiveLine(terminal)
        try:
            release = api.complete(
                job,
                folder,
                say=lambda text: print(text, file=terminal),
                watch=line,
                main_guarded=True,
            )
        finally:
            line.close()
    return release, log


def _funnel_text(stats: Mapping[str, Any]) -> str:
    funnel, saved = stats["funnel"], stats["saved"]
    lines = [f"{funnel['planned']:>9,} rows planned"]
    lines += [f"{-count:>9,} {reason}" for reason, count in funnel["rejected"].items()]
    lines.append(f"{funnel['delivered']:>9,} rows delivered")
    if saved["rows"]:
        lines.append(
            f"{saved['rows']:>9,} of the rejected were never answered: about {saved['tokens']:,} "
            "tokens saved"
        )
    return "\n".join(lines)


@magpie_hub.command(context_settings=SETTINGS)
@click.option("--variant", "name", required=True, help="A variant's name or a recipe's path.")
@click.option(
    "--folder",
    type=click.Path(path_type=Path),
    help="Its release folder; ./NAME by default, as build leaves it.",
)
@click.option("--build", "build_first", is_flag=True, help="Build the release first.")
@click.option("--repo-id", help="NAMESPACE/NAME; the recipe's, or your own magpie-NAME by default.")
@click.option("--private", is_flag=True, help="Make the repository private, if it is made now.")
@click.option("--pr", "pull_request", is_flag=True, help="Propose the release as a pull request.")
@click.option("--tag", help="A tag of your own, beside the one that names the data.")
@click.option(
    "--replace", is_flag=True, help="Publish it even where a release of more rows stands."
)
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@reviewed_option
@as_json
def push(
    name: str,
    folder: Path | None,
    build_first: bool,
    repo_id: str | None,
    private: bool,
    pull_request: bool,
    tag: str | None,
    replace: bool,
    dry_run: bool,
    reviewed: Path | None,
    as_json: bool,
) -> None:
    """Publish a release to the Hub: in one commit, or not at all.

    Sends what is new, removes what is stale, keeps what people have written into the card, reads
    the commit back and tags it. Pushing what is there already changes nothing, and fewer rows than
    are there are refused. The token is the one of `hf auth login`, HF_TOKEN, or a trusted
    publisher's in CI.
    """
    from magpie_hub import api

    say = partial(click.echo, err=True)
    if build_first:
        _build(name, folder)
    published = api.push(
        name,
        folder,
        repo_id=repo_id,
        private=private,
        pull_request=pull_request,
        tag=tag,
        dry_run=dry_run,
        reviewed=_lines(reviewed),
        replace=replace,
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


@magpie_hub.command(context_settings=SETTINGS)
@click.argument("repo_id", metavar="REPO")
@click.option("--revision", help="Commit, branch or tag; the main branch by default.")
@as_json
def verify(repo_id: str, revision: str | None, as_json: bool) -> None:
    """Check that REPO on the Hub holds the release that its manifest says it holds."""
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
        sys.exit(1)


@magpie_hub.command(context_settings=SETTINGS)
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--repo-id", help="Where it is to be published; the recipe's by default.")
def card(folder: Path, repo_id: str | None) -> None:
    """Print the dataset card of the release in FOLDER, as push would send it."""
    from magpie_hub import api

    click.echo(api.card(folder, repo_id), nl=False)


@magpie_hub.command(context_settings=SETTINGS)
@click.argument("folder", type=click.Path(path_type=Path))
@reviewed_option
@as_json
def scan(folder: Path, reviewed: Path | None, as_json: bool) -> None:
    """Look through the release in FOLDER for secrets and personal data.

    Prints what was not reviewed yet, a line each that begins as --reviewed wants it. Exit status 1
    if there is anything.
    """
    from magpie_hub import api

    found = api.scan(folder, _lines(reviewed))
    if as_json:
        click.echo(json.dumps(asdict(found), ensure_ascii=False))
    else:
        for finding in found.findings:
            click.echo(f"{finding.mark}  # {finding.shown}  {finding.place}")
        click.echo(
            f"{found.rows:,} rows: {sum(found.counts.values())} findings, {found.allowed} reviewed",
            err=True,
        )
    if not found.clean:
        sys.exit(1)


def _lines(path: Path | None) -> tuple[str, ...]:
    if path is None:
        return ()
    try:
        return tuple(path.read_text(encoding="utf-8").splitlines())
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"--reviewed {path}: cannot be read: {error}") from None


@magpie_hub.command(context_settings=SETTINGS)
@as_json
def variants(as_json: bool) -> None:
    """List the variants: generator, turns, rows, what they need, what the journal holds."""
    from magpie_hub import api

    listed = api.variants()
    if as_json:
        click.echo(json.dumps([variant.to_json() for variant in listed], ensure_ascii=False))
        return
    table = [("VARIANT", "GENERATOR", "TURNS", "ROWS", "NEEDS", "IN THE JOURNAL")]
    for v in listed:
        needs = f"{v.memory_gib:g} GiB of device memory" if v.memory_gib else "any machine"
        held = f"{v.passed:,} first turns" if v.passed else "-"
        if v.rejected:
            held += f" (+{v.rejected:,} rejected)"
        table.append((v.name, v.model, str(v.turns), f"{v.rows:,}", needs, held))
    widths = [max(len(row[i]) for row in table) for i in range(len(table[0]))]
    for row in table:
        click.echo("  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip())


@magpie_hub.command(context_settings=SETTINGS)
@click.argument("model")
@click.option(
    "--samples", type=click.IntRange(1), default=16, show_default=True, help="Instructions drawn."
)
@click.option("--recipe", "name", help="Take chat overrides, sampling and gates from this recipe.")
@knob_options("rows", "oversample", "turns", "min_yield", "model")
@as_json
def probe(model: str, samples: int, name: str | None, as_json: bool, **knobs: Any) -> None:
    """Show whether MODEL can be used: its derived chat format, and a few instructions of its own.

    MODEL is a Hub id or a folder.
    """
    from magpie_hub.chatter import divert
    from magpie_hub.probe import choose_model, probe_model

    recipe, source = choose_model(model, name, how="{option}", **knobs)
    log = _log_path("probe")
    with divert(log) as terminal:
        found = probe_model(
            recipe, source, samples=samples, say=lambda text: print(text, file=terminal)
        )
    click.echo(json.dumps(found.to_json(), ensure_ascii=False) if as_json else found.to_text())
    click.echo(f"engine log: {log}", err=True)


@magpie_hub.command(context_settings=SETTINGS)
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--name", help="Name of the recipe; the folder's by default.")
@click.option(
    "--model",
    default="HuggingFaceTB/SmolLM2-135M-Instruct",
    show_default=True,
    help="The generator: a Hub id or a folder.",
)
@click.option(
    "--rows", type=click.IntRange(1), default=1000, show_default=True, help="Rows delivered."
)
def init(folder: Path, name: str | None, model: str, rows: int) -> None:
    """Write a commented recipe of your own into FOLDER, as a builder that load_dataset takes."""
    from magpie_hub.scaffold import write_builder

    files = write_builder(folder, name or folder.absolute().name.lower(), model, rows)
    for path in files:
        click.echo(f"wrote {path}")
    recipe = files[0]
    click.echo(f"next: edit {recipe}, then: magpie-hub build {recipe}")


def _log_path(name: str) -> Path:
    from magpie_hub.home import home

    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S-%f")
    return home() / "logs" / f"{name}-{stamp}.log"
