"""A tick, from what is published to one commit more, or to none.

    what stands ─► new rows, judged ─► drift gates ─► release folder ─► one commit on what stands
        ▲                                                                        │
        └──────────────── something else was published in between ◄──────────────┘

Whatever ends it, the repository holds the old release or the new one; the rows stay in the journal,
and in the state if the recipe names one. A tick is known by its name, which the manifest records,
so one that is run twice, or killed and run again, publishes once.
"""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from magpie_hub.checkpoint.store import CheckpointStore
from magpie_hub.errors import DriftError, MagpieError, StaleReleaseError, UserError, YieldError
from magpie_hub.generate.scheduler import Watcher
from magpie_hub.hub.client import ATTEMPTS, Retry, connect, repo_of
from magpie_hub.hub.publish import PublishOptions, publish
from magpie_hub.hub.tags import known_tags, tag_commit
from magpie_hub.models.source import is_remote, pin
from magpie_hub.paths import home
from magpie_hub.pipeline.loop import complete
from magpie_hub.pipeline.run import Run, Say, open_recipe
from magpie_hub.recipe.config import Recipe
from magpie_hub.regenerate.drift.examine import DriftReport, examine
from magpie_hub.regenerate.drift.report import write_report
from magpie_hub.regenerate.published import PublishedRelease, read_standing, shelve, today
from magpie_hub.regenerate.tick import Regenerated, Tick, check_asked, check_report, day_of, tag_of
from magpie_hub.release.documents import read_manifest
from magpie_hub.release.folder import write_release
from magpie_hub.release.increment import Increment
from magpie_hub.release.output import check_output, default_output
from magpie_hub.release.published_names import PublicNames
from magpie_hub.release.schema import arrow_schema
from magpie_hub.release.stats import RAW, counted_columns
from magpie_hub.shell import command
from magpie_hub.store.baseline import Baseline
from magpie_hub.store.lock import locked
from magpie_hub.store.shards import NAMES, ShardCache

if TYPE_CHECKING:
    from huggingface_hub import HfApi


def regenerate(
    tick: Tick,
    *,
    say: Say,
    watch: Watcher | None = None,
    api: HfApi | None = None,
    sleep: Callable[[float], None] = time.sleep,
    environment: Mapping[str, str] | None = None,
    how: str = "{name}",
    main_guarded: bool = False,
) -> Regenerated:
    """Runs a tick.

    Args:
        tick: What is asked.
        say: Told what is going on, a line each.
        watch: Told how far the rows are, twice a second.
        api: The Hub's client; the environment's by default.
        sleep: Waits so many seconds.
        environment: For ``MAGPIE_*`` variables; this process's by default.
        how: How the caller spells a setting in messages.
        main_guarded: See `magpie_hub.pipeline.loop.complete`.

    Raises:
        UserError: Something that was asked for cannot be; nothing was sent.
        DriftError: The new rows are refused; nothing was sent, and the report says why.
        RunError: The run had to stop; run the same tick again to go on.
    """
    check_asked(tick)
    recipe = open_recipe(tick.name, tick.overrides, environment, how)
    out = tick.out or Path(f"{recipe.name}-next")
    report = tick.report or Path(f"{recipe.name}-report.md")
    check_output(out)
    check_report(report)
    api = api or connect()
    repo_id = repo_of(api, recipe, tick.repo_id)
    url = tick.state or recipe.regenerate.state
    state = CheckpointStore(url, repo_id.replace("/", "--")) if url else None
    run = _Regeneration(
        tick, recipe, repo_id, out, report, state, api, say, watch, sleep, main_guarded
    )
    with _alone(out, say), state.lease(say) if state else contextlib.nullcontext():
        return run.until_published()


def _alone(out: Path, say: Say) -> AbstractContextManager[None]:
    """Keeps a second tick on this machine from the folder that is about to be published."""
    name = hashlib.sha256(str(out.absolute()).encode()).hexdigest()[:16]
    path = home() / "ticks" / f"{name}.lock"
    return locked(path, f"another tick is at work on {out}; waiting for it", say)


@dataclass(frozen=True, slots=True)
class _Regeneration:
    """One tick, on its way."""

    tick: Tick
    recipe: Recipe
    repo_id: str
    out: Path
    report: Path
    state: CheckpointStore | None
    api: HfApi
    say: Say
    watch: Watcher | None
    sleep: Callable[[float], None]
    main_guarded: bool

    @property
    def retry(self) -> Retry:
        return Retry(self.repo_id, self.say, self.sleep)

    def until_published(self) -> Regenerated:
        """Goes on from what stands, again and again while others publish in between."""
        ask = self.retry.ask
        day = ask(lambda: today(self.api))
        name = self.tick.tick or day.isoformat()
        for _ in range(ATTEMPTS):
            standing = ask(
                lambda: read_standing(self.api, self.repo_id, self.recipe.name, self.tick.name)
            )
            if (done := standing.find(name)) is not None:
                return self._done_before(standing, done)
            with contextlib.suppress(StaleReleaseError):
                return self._once(standing, name, day_of(name, day))
            self.say("another release was published in between; going on from that")
        raise StaleReleaseError(
            f"{self.repo_id}: other releases were published {ATTEMPTS} times in between; it holds "
            "the newest of them; run again"
        )

    def _done_before(self, standing: PublishedRelease, done: Mapping[str, Any]) -> Regenerated:
        """A tick that is published already; its tag may have been missed."""
        head = standing.remote.head
        if done["tag"] == standing.manifest["tag"] and self.tick.push:
            self.retry.ask(lambda: tag_commit(self.api, self.repo_id, head, [done["tag"]]))
        self._clear(done["tick"])
        return self._outcome("unchanged", standing.manifest, done, head)

    def _once(self, standing: PublishedRelease, name: str, day: date) -> Regenerated:
        """Builds on what stands, and publishes it there."""
        tags = self.retry.ask(lambda: known_tags(self.api, self.repo_id))
        tag = tag_of(day, tags)
        run, kept = self._open_run(standing)
        warnings = _changes(run, standing)
        notes: list[str] = []

        def examine(fresh: Mapping[str, Any]) -> tuple[dict[str, Any], Sequence[str]]:
            found = self._examine(standing, fresh, name, tag, notes)
            warnings.extend(check.says for check in found.warnings)
            return found.to_json(), warnings

        growth = Increment(
            standing.manifest, standing.stats, kept, name, tag, day.isoformat(), examine
        )
        with self._kept(run, name):
            if orphans := run.left_behind():
                notes.append(str(orphans))
            try:
                delivery = complete(
                    run, say=self.say, watch=self.watch, main_guarded=self.main_guarded
                )
            except YieldError:
                least = max(self.recipe.min_yield, self.recipe.regenerate.drift.min_yield or 0)
                self._examine(standing, _so_far(run), name, tag, notes, min_yield=least)
                raise
            release = write_release(run, self.out, growth, delivery=delivery)
        manifest, added = read_manifest(release.path), release.funnel.delivered
        increment = manifest["increments"][-1]
        commit = None
        if self.tick.push:
            push = PublishOptions(
                self.out,
                self.recipe.name,
                self.repo_id,
                replace=self.tick.refresh,
                reviewed=(*self.recipe.hub.reviewed, *self.tick.reviewed),
            )
            commit = publish(push, say=self.say, api=self.api, sleep=self.sleep).commit
            self._shelve(release.path, increment, int(release.stats["turns"]))
            self._clear(name)
        self.say(f"{added:,} rows, {release.rows:,} in all")
        return self._outcome(
            "published" if self.tick.push else "built",
            manifest,
            increment,
            commit,
            tuple(warnings),
            built=True,
        )

    def _open_run(self, standing: PublishedRelease) -> tuple[Run, dict[str, tuple[Path, ...]]]:
        """The rows to be made, and the shards that stay."""
        if self.tick.refresh:
            # The newest revision that the recipe allows, whatever a journal was begun with.
            rows = (
                standing.manifest["rows"] if "rows" not in self.tick.overrides else self.recipe.rows
            )
            source = pin(self.recipe.model, self.recipe.model_revision)
            changed = {"rows": rows, "model_revision": source.revision}
            return Run.open(self.recipe.model_copy(update=changed)), {}
        _check_recipe(self.tick.name, self.recipe, standing)
        beside = [default_output(self.tick.name, self.recipe.name), self.out]
        shards = self.retry.ask(
            lambda: shelve(self.api, standing, ShardCache(home()), beside, self.say)
        )
        manifest = standing.manifest
        judges = PublicNames(self.recipe).judges_here(manifest["judges"])
        baseline = Baseline(standing.end, shards["default"], judges, manifest["chat"])
        changed = {
            "rows": self.tick.grow or self.recipe.regenerate.grow,
            "model_revision": manifest["model"]["revision"],
        }
        run = Run.open(self.recipe.model_copy(update=changed), baseline=baseline)
        kept = {config: tuple(one.path for one in found) for config, found in shards.items()}
        return run, kept

    @contextmanager
    def _kept(self, run: Run, name: str) -> Iterator[None]:
        """Brings back what another machine has made for this tick, and saves what is made here."""
        state = self.state
        if state is None:
            yield
            return
        start = run.baseline.start if run.baseline else 0
        if found := state.restore(run.folder, name, start):
            self.say(f"{found:,} rows of this tick were made elsewhere; going on from there")
        every = self.recipe.regenerate.checkpoint_seconds
        with state.keeping(run.folder, name, start, every=every, say=self.say):
            yield

    def _clear(self, name: str) -> None:
        """Removes what is kept of a tick that is published; a place that is away is only said."""
        if self.state is not None:
            try:
                self.state.clear(name)
            except MagpieError as error:
                self.say(f"{error}; what is left there of this tick is needed no more")

    def _examine(
        self,
        standing: PublishedRelease,
        fresh: Mapping[str, Any],
        name: str,
        tag: str,
        notes: Sequence[str],
        **bounds: float,
    ) -> DriftReport:
        """Compares new rows with the published ones, and writes the report.

        Raises:
            DriftError: They are refused.
        """
        wanted = self.recipe.regenerate.drift.model_copy(update=bounds)
        found = examine(standing.stats, fresh, wanted, full_refresh=self.tick.refresh)
        text = write_report(
            found,
            name=self.recipe.name,
            tick=name,
            tag=tag,
            repo_id=self.repo_id,
            published_rows=standing.manifest["rows"],
            new_rows=fresh["rows"],
            notes=notes,
        )
        self.report.write_text(text, encoding="utf-8")
        if found.failed:
            raise DriftError(
                f"{self.repo_id}: nothing is published: {found.failed[0].says} "
                f"({len(found.failed)} of the gates failed; {self.report} has the figures); it "
                "holds what it held before, and the new rows stay in the journal",
                text,
            )
        return found

    def _shelve(self, folder: Path, increment: Mapping[str, Any], turns: int) -> None:
        """Puts the new shards on the shelf, so that the next tick need not read them again."""
        shard_cache, files = ShardCache(home()), read_manifest(folder)["files"]
        for path in increment["files"]:
            raw = path.startswith("data/raw/")
            columns = RAW if raw else (*NAMES, *counted_columns(turns))
            shard_cache.put(files[path]["sha256"], folder / path, columns)

    def _outcome(
        self,
        state: Any,
        manifest: Mapping[str, Any],
        increment: Mapping[str, Any],
        commit: str | None,
        warnings: tuple[str, ...] = (),
        *,
        built: bool = False,
    ) -> Regenerated:
        return Regenerated(
            state,
            self.repo_id,
            increment["tick"],
            increment["tag"],
            commit,
            increment["rows"],
            manifest["rows"],
            manifest["edition"],
            warnings,
            str(self.out) if built else None,
            str(self.report) if built else None,
        )


def _check_recipe(name: str | Path, recipe: Recipe, standing: PublishedRelease) -> None:
    """Whether rows of this recipe may stand beside the published ones.

    Raises:
        UserError: They may not.
    """
    manifest, repo_id = standing.manifest, standing.remote.repo_id
    columns = arrow_schema(recipe.turns, recipe.judges.names).names
    model = PublicNames(recipe).generator
    if model != manifest["model"]["name"]:
        raise UserError(
            f"{repo_id}: its rows are of {manifest['model']['name']}, the recipe's generator is "
            f"{model}; --refresh makes all rows anew"
        )
    asked = recipe.model_revision
    if asked not in (None, manifest["model"]["revision"]) and is_remote(recipe.model):
        raise UserError(
            f"{repo_id}: its rows are of revision {manifest['model']['revision']}, the recipe asks "
            f"for {asked}; --refresh makes all rows anew"
        )
    if "conversations" in manifest["columns"]:
        raise UserError(
            f"{repo_id}: its rows have the column conversations, which makes trainers read the "
            "wrong roles and which rows no longer have; publish the whole set once more from its "
            f"journal ({command('push', '--variant', name, '--build')}), or make all rows anew "
            "(--refresh)"
        )
    if columns != manifest["columns"]:
        other = sorted(set(columns) ^ set(manifest["columns"])) or ["their order"]
        raise UserError(
            f"{repo_id}: its columns differ from the recipe's ({', '.join(other[:5])}); other "
            "turns or judges want --refresh, which makes all rows anew"
        )


def _changes(run: Run, standing: PublishedRelease) -> list[str]:
    """What a reader of the changelog should know of the recipe, beside what the rows show."""
    draws = PublicNames(run.recipe).draws(run.recipe, run.source.revision)
    if run.baseline is None or draws == standing.manifest["increments"][-1]["draws"]:
        return []
    return ["the recipe's sampling, seed or gates are not those of the rows before"]


def _so_far(run: Run) -> dict[str, Any]:
    """What can be counted of an increment that too few rows pass to be finished."""
    progress = run.progress()
    start = run.baseline.start if run.baseline else 0
    planned = progress.settled - start
    return {
        "rows": progress.passed,
        "yield": progress.passed / planned if planned else 0.0,
        "funnel": {
            "planned": planned,
            "rejected": dict(progress.reasons),
            "delivered": progress.passed,
        },
    }
