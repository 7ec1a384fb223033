"""The verbs that make: `build`, `check`, `variants`, `probe`, `init`."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from magpie_hub.cli.options import SETTINGS, as_json, live, log_path, override_options, yes_option
from magpie_hub.errors import UserError
from magpie_hub.text import command

if TYPE_CHECKING:
    from magpie_hub.release.folder import Release
    from magpie_hub.store.orphans import Orphans


@click.command(context_settings=SETTINGS)
@click.argument("name")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Release folder; by default ./NAME, or ./NAME-release if ./NAME is the recipe's folder.",
)
@yes_option
@override_options()
@as_json
def build(name: str, out: Path | None, yes: bool, as_json: bool, **overrides: Any) -> None:
    """Build the release folder of NAME, generating the rows that the journal lacks.

    The options after --yes override the recipe for this run; each can also be set by the variable
    MAGPIE_<NAME>. After a kill or an interrupt, the same command continues where it stopped.
    """
    release, log = build_live(name, out, yes=yes, **overrides)
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
        click.echo(funnel_text(release.stats))
        click.echo(f"release: {release.path}")
        click.echo(f"card:    {release.card}")
    click.echo(f"engine log: {log}", err=True)


def build_live(name: str, out: Path | None, *, yes: bool, **overrides: Any) -> tuple[Release, Path]:
    """Builds with a progress line; returns the release and the path of the engine's log.

    Raises:
        UserError: The user was asked whether to leave rows behind, and said no.
    """
    from magpie_hub import api
    from magpie_hub.pipeline.loop import complete
    from magpie_hub.release.folder import write_release

    run, folder = api.prepare(name, out, how="{option}", **overrides)
    if not yes:
        _ask(run.left_behind())
    with live(run.recipe.name) as shown:
        delivery = complete(run, say=shown.say, watch=shown.watch, main_guarded=True)
        release = write_release(run, folder, delivery=delivery)
    return release, shown.log


def _ask(orphans: Orphans | None) -> None:
    """Asks on a terminal whether rows may be left behind; elsewhere the run only prints it.

    Raises:
        UserError: The user said no.
    """
    if orphans is None or not (sys.stdin.isatty() and sys.stderr.isatty()):
        return
    if not click.confirm(f"{orphans}.\nGenerate them again?", err=True):
        raise UserError(
            f"nothing is generated; to continue with the existing rows, set {orphans.before}; "
            "--yes generates them again"
        )


def funnel_text(stats: Mapping[str, Any]) -> str:
    """The funnel of a release, one line per reason, and what gates and tags saved."""
    funnel, saved = stats["funnel"], stats["saved"]
    lines = [f"{funnel['planned']:>9,} rows planned"]
    lines += [
        f"{-count:>9,} {reason}{_hint(reason)}" for reason, count in funnel["rejected"].items()
    ]
    lines.append(f"{funnel['delivered']:>9,} rows delivered")
    if saved["rows"]:
        lines.append(
            f"{saved['rows']:>9,} rejected rows got no response: about {saved['tokens']:,} "
            "tokens saved"
        )
    return "\n".join(lines)


def _hint(reason: str) -> str:
    """A hint for a reason that a setting can cause."""
    name = reason.split(":")[0].partition(".")[2]
    if name in ("cut_off", "unfinished_thinking"):
        return " (raise max_tokens, or max_model_len if the context is full)"
    if name == "thinking":
        return " (chat.template_kwargs can switch it off; chat.thinking: true lets the model think)"
    return ""


@click.command(context_settings=SETTINGS)
@as_json
def variants(as_json: bool) -> None:
    """List the variants: generator, turns, rows, device memory, rows in the journal."""
    from magpie_hub import api

    listed = api.variants()
    if as_json:
        click.echo(json.dumps([variant.to_json() for variant in listed], ensure_ascii=False))
        return
    table = [("VARIANT", "GENERATOR", "TURNS", "ROWS", "NEEDS", "IN THE JOURNAL")]
    for v in listed:
        if v.problem:
            continue
        needs = f"{v.memory_gib:g} GiB of device memory" if v.memory_gib else "any machine"
        held = f"{v.passed:,} first turns" if v.passed else "-"
        if v.rejected:
            held += f" (+{v.rejected:,} rejected)"
        table.append((v.name, v.model, str(v.turns), f"{v.rows:,}", needs, held))
    own = [v for v in listed if v.path]
    widths = [max(len(row[i]) for row in table) for i in range(len(table[0]))]
    for row in table:
        click.echo("  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip())
    if own:
        click.echo("Names that begin with ./ are recipes in this folder.")
    for v in own:
        if v.problem:
            click.echo(f"refused: {v.problem}")


@click.command(context_settings=SETTINGS)
@click.argument("name")
@override_options()
@as_json
def check(name: str, as_json: bool, **overrides: Any) -> None:
    """Check the recipe NAME. No model is loaded, nothing is written.

    The options override the recipe for this check, as those of build do.
    """
    from magpie_hub import api

    found = api.check(name, how="{option}", **overrides)
    if as_json:
        click.echo(json.dumps({"ok": True, **asdict(found)}, ensure_ascii=False))
    else:
        click.echo(f"ok: {found.path} ({found.name}, {found.fingerprint})")
        click.echo(f"checked: {', '.join(found.checked)}")


@click.command(context_settings=SETTINGS)
@click.argument("model")
@click.option(
    "--samples",
    type=click.IntRange(1),
    default=16,
    show_default=True,
    help="Instructions to generate.",
)
@click.option("--recipe", "name", help="Take chat overrides, sampling and gates from this recipe.")
@override_options("rows", "oversample", "turns", "min_yield", "model")
@as_json
def probe(model: str, samples: int, name: str | None, as_json: bool, **overrides: Any) -> None:
    """Show whether MODEL can be used: its chat format, some instructions, and two responses.

    MODEL is a Hub id or a folder.
    """
    from magpie_hub.cli.log_capture import capture_output
    from magpie_hub.pipeline.probe import choose_model, probe_model

    recipe, source = choose_model(model, name, how="{option}", **overrides)
    log = log_path("probe")
    with capture_output(log) as terminal:
        found = probe_model(
            recipe, source, samples=samples, say=lambda text: print(text, file=terminal)
        )
    click.echo(json.dumps(found.to_json(), ensure_ascii=False) if as_json else found.to_text())
    click.echo(f"engine log: {log}", err=True)


@click.command(context_settings=SETTINGS)
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--name", help="Name of the recipe; the folder's by default.")
@click.option(
    "--model",
    default="HuggingFaceTB/SmolLM2-135M-Instruct",
    show_default=True,
    help="The generator: a Hub id or a folder.",
)
@click.option(
    "--rows", type=click.IntRange(1), default=1000, show_default=True, help="Rows to deliver."
)
def init(folder: Path, name: str | None, model: str, rows: int) -> None:
    """Write your own recipe, with comments, into FOLDER, which load_dataset can then load."""
    from magpie_hub.cli.init import write_builder

    files = write_builder(folder, name or folder.absolute().name.lower(), model, rows)
    for path in files:
        click.echo(f"wrote {path}")
    recipe = files[0]
    click.echo(f"next: edit {recipe}, then: {command('build', recipe)}")
