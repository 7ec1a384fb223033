"""The Python API: build, push and verify a release, list the variants.

The command line calls the same functions.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from magpie_hub.generate.scheduler import Watcher
    from magpie_hub.hub.publish import Published
    from magpie_hub.hub.verify import Verified
    from magpie_hub.pipeline.run import Run, Say
    from magpie_hub.release.folder import Release
    from magpie_hub.release.schema import Row
    from magpie_hub.scan.finding import Report

log = logging.getLogger("magpie_hub")


def to_log(line: str) -> None:
    """Logs a run's lines by default; its warnings are seen without any set-up."""
    log.log(logging.WARNING if line.startswith("warning: ") else logging.INFO, "%s", line)


def build(
    name: str | Path,
    out: str | Path | None = None,
    *,
    say: Say = to_log,
    watch: Watcher | None = None,
    environment: Mapping[str, str] | None = None,
    how: str = "{name}",
    main_guarded: bool = False,
    **overrides: Any,
) -> Release:
    """Builds the release folder of a variant or of your own recipe.

    Rows in the journal are used; missing rows are generated. The folder is complete when it
    appears.

    Args:
        name: A variant's name ("air") or a recipe's path.
        out: The folder; by default ``./<recipe's name>``, or ``./<recipe's name>-release`` if the
            former is the recipe's folder. An existing release is replaced.
        say: Takes lines for the user.
        watch: Takes the progress, twice a second.
        environment: For ``MAGPIE_*`` variables; this process's by default.
        how: How the caller writes a setting, for messages.
        main_guarded: True from a script that works under `if __name__ == "__main__"`: an engine on
            a GPU may then have a process of its own, which is faster.
        **overrides: This run's settings by the recipe's names: ``rows=40, model="…"``; other keys
            of the recipe as ``settings={"respond.max_tokens": 512}``.

    Returns:
        The release, with its path, rows and funnel.

    Raises:
        UserError: A setting or the recipe cannot be used; the message says what to do.
        RunError: The run had to stop; the same call continues it.

    Example:
        >>> import magpie_hub
        >>> release = magpie_hub.build("smol", "out", rows=8)
        >>> release.rows
        8
    """
    from magpie_hub.pipeline.loop import complete
    from magpie_hub.release.folder import write_release

    run, folder = prepare(name, out, environment=environment, how=how, **overrides)
    delivery = complete(run, say=say, watch=watch, main_guarded=main_guarded)
    return write_release(run, folder, delivery=delivery)


def prepare(
    name: str | Path,
    out: str | Path | None,
    *,
    environment: Mapping[str, str] | None = None,
    how: str = "{name}",
    **overrides: Any,
) -> tuple[Run, Path]:
    """The first part of `build`: every check that loads and writes nothing.

    Returns:
        The run, and the folder that its release goes to.

    Raises:
        UserError: See `build`.
    """
    from magpie_hub.pipeline.run import Run, open_recipe
    from magpie_hub.release.output import check_output, default_output

    recipe = open_recipe(name, overrides, environment, how)
    folder = Path(out) if out is not None else default_output(name, recipe.name)
    check_output(folder)
    return Run.open(recipe), folder


def push(
    name: str | Path,
    folder: str | Path | None = None,
    *,
    repo_id: str | None = None,
    private: bool = False,
    pull_request: bool = False,
    tag: str | None = None,
    dry_run: bool = False,
    reviewed: Iterable[str] = (),
    replace: bool = False,
    settings: Mapping[str, Any] | Iterable[str] | None = None,
    say: Say = log.info,
) -> Published:
    """Publishes the release of a variant or of your own recipe: one commit, or nothing.

    Args:
        name: A variant's name or a recipe's path.
        folder: Its release; by default the one that `build` writes.
        repo_id: NAMESPACE/NAME; by default the recipe's, or ``magpie-<name>`` of the token's owner.
        private: Make the repository private if this call creates it.
        pull_request: Propose the release as a pull request.
        tag: Another tag, beside the one that names the data.
        dry_run: Only show what would be done.
        reviewed: Reviewed findings of the scan, beside the recipe's.
        replace: Publish it even if the published release has more rows.
        settings: Keys of the recipe that this run changes: ``{"hub.repo_id": "me/mine"}``.
        say: Takes lines for the user.

    Raises:
        UserError: Something is refused; nothing was sent.
        HubError: The Hub failed; the message says what it holds.
    """
    from magpie_hub.hub.publish import PublishOptions, publish
    from magpie_hub.pipeline.run import open_recipe
    from magpie_hub.release.output import default_output

    recipe = open_recipe(name, {"settings": settings})
    options = PublishOptions(
        folder=Path(folder) if folder is not None else default_output(name, recipe.name),
        name=recipe.name,
        repo_id=repo_id,
        private=private,
        pull_request=pull_request,
        dry_run=dry_run,
        tag=tag,
        reviewed=(*recipe.hub.reviewed, *reviewed),
        replace=replace,
    )
    return publish(options, say=say)


def iter_rows(name: str | Path, *, say: Say = to_log, **overrides: Any) -> Iterator[Row]:
    """Yields the rows of a variant or of a recipe, as dicts of the config `default`.

    Rows that the journal has come at once, the missing ones while they are generated; where rows
    are judged, none comes before all are there.

    Args:
        name: A variant's name or a recipe's path.
        say: Takes lines for the user while no row is ready.
        **overrides: See `build`.

    Raises:
        MagpieError: See `build`.

    Example:
        >>> import magpie_hub
        >>> row = next(magpie_hub.iter_rows("smol", rows=8, judging="off"))
        >>> [message["role"] for message in row["messages"]]
        ['user', 'assistant']
    """
    from magpie_hub.pipeline.open import open_recipe
    from magpie_hub.pipeline.run import Run
    from magpie_hub.release.stream import stream_rows

    @contextmanager
    def watching() -> Iterator[tuple[Say, Watcher]]:
        yield say, lambda progress: None

    yield from stream_rows(Run.open(open_recipe(name, overrides)), watching)


def verify(repo_id: str, revision: str | None = None) -> Verified:
    """Checks that a repository on the Hub holds the release that its manifest says it holds.

    Raises:
        UserError: There is no such repository, revision, or release of ours in it.
        HubError: The Hub failed.
    """
    from magpie_hub.hub.verify import verify as verify_repository

    return verify_repository(repo_id, revision)


def card(folder: str | Path, repo_id: str | None = None) -> str:
    """The dataset card of a release, as a push to that repository would send it.

    Raises:
        UserError: There is no release in the folder, or it was edited.
    """
    from magpie_hub.hub.preflight import check_release
    from magpie_hub.release.card.data import card_data
    from magpie_hub.release.card.render import render_card

    local = check_release(Path(folder))
    return render_card(card_data(local.folder, repo_id=repo_id))


def scan(folder: str | Path, reviewed: Iterable[str] = ()) -> Report:
    """Looks through a release for secrets and personal data; a push need not look again.

    Args:
        folder: The release.
        reviewed: Findings that were reviewed and may be published.

    Raises:
        UserError: There is no release in the folder, or a reviewed line is not one.
    """
    from magpie_hub.hub.preflight import check_release, scan_local

    return scan_local(check_release(Path(folder)), reviewed)


CHECKED = (
    "YAML",
    "keys, types and ranges",
    "gates",
    "judges and selection",
    "card blocks",
    "licence, languages and repository",
)
"""What `check` looks at."""


@dataclass(frozen=True, slots=True)
class Checked:
    """A recipe that is in order.

    Attributes:
        path: Its file.
        name: Its name.
        fingerprint: Of everything that it says, with this run's settings.
        checked: What was looked at.
    """

    path: str
    name: str
    fingerprint: str
    checked: tuple[str, ...] = CHECKED


def check(
    name: str | Path,
    *,
    environment: Mapping[str, str] | None = None,
    how: str = "{name}",
    **overrides: Any,
) -> Checked:
    """Checks a recipe with this run's settings; loads no model and writes nothing.

    Raises:
        UserError: Something in it is refused; one line says all of it.
    """
    from magpie_hub.pipeline.open import open_recipe
    from magpie_hub.recipe.fingerprint import recipe_fingerprint
    from magpie_hub.recipe.variants import find_recipe

    recipe = open_recipe(name, overrides, environment, how)
    return Checked(str(find_recipe(name)), recipe.name, recipe_fingerprint(recipe))


@dataclass(frozen=True, slots=True)
class Variant:
    """A variant, as listed.

    Attributes:
        name: Its name.
        model: The generator.
        rows: Rows delivered by default.
        turns: User turns of each conversation.
        memory_gib: Device memory that the generator needs; None if any machine will do.
        passed: First turns in the journal that passed their gates.
        rejected: First turns in the journal that were rejected.
        path: Its recipe, if it is one of the current folder's or of a folder in it; then `name`
            is this path too.
        problem: Why it is refused; None for a recipe that can be run.
    """

    name: str
    model: str
    rows: int
    turns: int
    memory_gib: float | None
    passed: int
    rejected: int
    path: str | None = None
    problem: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def variants() -> list[Variant]:
    """Lists the variants and the recipes found here, with what the journals hold of each."""
    from magpie_hub.errors import RecipeError
    from magpie_hub.gates.registry import verdict_settings
    from magpie_hub.paths import home
    from magpie_hub.pipeline.run import FIRST, find_journal
    from magpie_hub.recipe.fingerprint import fingerprint
    from magpie_hub.recipe.load import load_recipe
    from magpie_hub.recipe.variants import SUFFIX, find_recipe, shipped, variant_names
    from magpie_hub.store.journal import Journal

    ours = shipped("builders").resolve()
    here = [
        f"./{path}"
        for pattern in ("*" + SUFFIX, "*/*" + SUFFIX)
        for path in sorted(Path().glob(pattern))
        if path.is_file() and not path.resolve().is_relative_to(ours)
    ]
    listed = []
    for name in (*variant_names(), *here):
        path = name if name in here else None
        try:
            recipe = load_recipe(find_recipe(name))
        except RecipeError as error:
            listed.append(Variant(name, "", 0, 0, None, 0, 0, path, str(error)))
            continue
        found = find_journal(recipe, home())
        counts: dict[str, int] = {}
        if found is not None:
            gates = fingerprint(verdict_settings(recipe))
            with Journal(found.folder / FIRST, gates, readonly=True) as journal:
                counts = journal.counts(1)
        passed = counts.pop("", 0)
        listed.append(
            Variant(
                name,
                recipe.model,
                recipe.rows,
                recipe.turns,
                recipe.memory_gib,
                passed,
                sum(counts.values()),
                path,
            )
        )
    return listed
