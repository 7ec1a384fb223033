"""Runs a tick: new rows on top of the published release, in one commit or none.

    published release ─► new rows, judged ─► drift checks ─► release folder ─► one commit
        ▲                                                                        │
        └──────────────── another release was published in between ◄─────────────┘

However it ends, the repository holds the old release or the new one. The rows stay in the journal,
and in the state if the recipe names one. The manifest records a tick's name, so a tick that is run
twice, or killed and run again, is published once.
"""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from magpie_hub.checkpoint.store import CheckpointStore
from magpie_hub.errors import DriftError, MagpieError, StaleReleaseError, YieldError
from magpie_hub.generate.scheduler import Watcher
from magpie_hub.hub.client import ATTEMPTS, Retry, Sleep, hub_api, repo_of
from magpie_hub.hub.publish import PublishOptions, publish
from magpie_hub.hub.tags import known_tags, tag_commit
from magpie_hub.models.source import pin
from magpie_hub.paths import TICKS, home
from magpie_hub.pipeline.loop import complete
from magpie_hub.pipeline.run import Run, Say, open_recipe
from magpie_hub.recipe.config import Recipe
from magpie_hub.regenerate.drift.examine import DriftReport, examine
from magpie_hub.regenerate.drift.report import write_report
from magpie_hub.regenerate.published import (
    PublishedRelease,
    cache_shards,
    cached_columns,
    read_published_release,
)
from magpie_hub.regenerate.tick import (
    Regenerated,
    State,
    Tick,
    check_report,
    day_of,
    tag_of,
    today,
)
from magpie_hub.release.folder import Release, write_release
from magpie_hub.release.increment import Increment
from magpie_hub.release.manifest import config_of, read_manifest
from magpie_hub.release.output import check_output, default_output
from magpie_hub.release.published_names import PublicNames
from magpie_hub.store.baseline import Baseline
from magpie_hub.store.lock import locked
from magpie_hub.store.shards import ShardCache

if TYPE_CHECKING:
    from huggingface_hub import HfApi


def regenerate(
    tick: Tick,
    *,
    say: Say,
    watch: Watcher | None = None,
    api: HfApi | None = None,
    sleep: Sleep = time.sleep,
    environment: Mapping[str, str] | None = None,
    how: str = "{name}",
    main_guarded: bool = False,
) -> Regenerated:
    """Runs a tick.

    Args:
        tick: What is asked.
        say: Takes lines for the user.
        watch: Told how far the rows are, twice a second.
        api: The Hub's client; the environment's by default.
        sleep: Waits so many seconds.
        environment: For ``MAGPIE_*`` variables; this process's by default.
        how: How the caller writes a setting, for messages.
        main_guarded: See `magpie_hub.pipeline.loop.complete`.

    Raises:
        UserError: Something that was asked for cannot be done; nothing was sent.
        DriftError: The new rows are refused; nothing was sent, and the report says why.
        RunError: The run had to stop; run the same tick again to go on.
    """
    tick.check()
    recipe = open_recipe(tick.name, tick.overrides, environment, how)
    out = tick.out or Path(f"{recipe.name}-next")
    report = tick.report or Path(f"{recipe.name}-report.md")
    check_output(out)
    check_report(report)
    api = api or hub_api()
    repo_id = repo_of(api, recipe, tick.repo_id)
    url = tick.state or recipe.regenerate.state
    state = CheckpointStore(url, repo_id.replace("/", "--")) if url else None
    regeneration = _Regeneration(
        tick=tick,
        recipe=recipe,
        repo_id=repo_id,
        out=out,
        report=report,
        state=state,
        api=api,
        say=say,
        watch=watch,
        sleep=sleep,
        main_guarded=main_guarded,
    )
    with _locked(out, say), state.lease(say) if state else contextlib.nullcontext():
        return regeneration.run()


def _locked(out: Path, say: Say) -> AbstractContextManager[None]:
    """Keeps other ticks on this machine from the folder that is about to be published."""
    name = hashlib.sha256(str(out.absolute()).encode()).hexdigest()[:16]
    path = home() / TICKS / f"{name}.lock"
    return locked(path, f"another tick is at work on {out}; waiting for it", say)


@dataclass(frozen=True, slots=True)
class _NewRows:
    """What names the new rows: the tick, its tag and its day."""

    tick: str
    tag: str
    day: date


@dataclass(frozen=True, slots=True, kw_only=True)
class _Regeneration:
    """Runs one tick."""

    tick: Tick
    recipe: Recipe
    repo_id: str
    out: Path
    report: Path
    state: CheckpointStore | None
    api: HfApi
    say: Say
    watch: Watcher | None
    sleep: Sleep
    main_guarded: bool

    def run(self) -> Regenerated:
        """Adds to the published release, again and again while others publish in between."""
        retry = self._retry
        day = retry.ask(lambda: today(self.api))
        name = self.tick.tick or day.isoformat()
        for _ in range(ATTEMPTS):
            published = retry.ask(
                lambda: read_published_release(
                    self.api, self.repo_id, self.recipe.name, self.tick.name
                )
            )
            if (done := published.find(name)) is not None:
                return self._done_before(published, done)
            tags = retry.ask(lambda: known_tags(self.api, self.repo_id))
            tag = tag_of(day_of(name, day), tags)
            with contextlib.suppress(StaleReleaseError):
                return self._add_to(published, _NewRows(name, tag, day_of(name, day)))
            self.say("another release was published in between; continuing from that one")
        raise StaleReleaseError(
            f"{self.repo_id}: other releases were published {ATTEMPTS} times in between; it holds "
            "the newest of them; run again"
        )

    @property
    def _retry(self) -> Retry:
        return Retry(self.repo_id, self.say, self.sleep)

    def _done_before(self, published: PublishedRelease, done: Mapping[str, Any]) -> Regenerated:
        """A tick that is published already; its tag may be missing."""
        head = published.tree.head
        if done["tag"] == published.manifest["tag"] and self.tick.push:
            self._retry.ask(lambda: tag_commit(self.api, self.repo_id, head, [done["tag"]]))
        self._clear_state(done["tick"])
        return self._result("unchanged", published.manifest, done, head)

    def _add_to(self, published: PublishedRelease, new: _NewRows) -> Regenerated:
        """Makes the new rows and publishes them on top of a release.

        Raises:
            StaleReleaseError: Another release was published in between.
        """
        run, kept = self._open_run(published)
        warnings = _recipe_changes(run, published)
        notes: list[str] = []

        def check(stats: Mapping[str, Any]) -> tuple[dict[str, Any], Sequence[str]]:
            found = self._check_drift(published, stats, new, notes)
            warnings.extend(check.says for check in found.warnings)
            return found.to_json(), warnings

        increment = Increment(
            manifest=published.manifest,
            stats=published.stats,
            kept=kept,
            tick=new.tick,
            tag=new.tag,
            date=new.day.isoformat(),
            examine=check,
        )
        with self._saved(run, new.tick):
            if orphans := run.left_behind():
                notes.append(str(orphans))
            try:
                delivery = complete(
                    run, say=self.say, watch=self.watch, main_guarded=self.main_guarded
                )
            except YieldError:
                # The report says what the too few rows are like.
                least = max(self.recipe.min_yield, self.recipe.regenerate.drift.min_yield or 0)
                self._check_drift(published, _stats_so_far(run), new, notes, min_yield=least)
                raise
            release = write_release(run, self.out, increment, delivery=delivery)
        manifest = read_manifest(release.path)
        commit = self._publish(release, manifest) if self.tick.push else None
        self.say(f"{release.funnel.delivered:,} rows, {release.rows:,} in all")
        state: State = "published" if self.tick.push else "built"
        return self._result(state, manifest, manifest["increments"][-1], commit, tuple(warnings))

    # ---- the new rows

    def _open_run(self, published: PublishedRelease) -> tuple[Run, dict[str, tuple[Path, ...]]]:
        """The run that makes the new rows, and the published shards that stay, by config."""
        manifest = published.manifest
        if self.tick.refresh:
            # The newest revision that the recipe allows, whatever a journal was begun with.
            source = pin(self.recipe.model, self.recipe.model_revision)
            rows = self.recipe.rows if "rows" in self.tick.overrides else manifest["rows"]
            changed = {"rows": rows, "model_revision": source.revision}
            return Run.open(self.recipe.model_copy(update=changed)), {}
        published.check_recipe(self.tick.name, self.recipe)
        folders = [default_output(self.tick.name, self.recipe.name), self.out]
        shards = self._retry.ask(
            lambda: cache_shards(self.api, published, ShardCache(home()), folders, self.say)
        )
        judges = PublicNames(self.recipe).judges_here(manifest["judges"])
        baseline = Baseline(published.end, shards["default"], judges, manifest["chat"])
        changed = {
            "rows": self.tick.grow or self.recipe.regenerate.grow,
            "model_revision": manifest["model"]["revision"],
        }
        run = Run.open(self.recipe.model_copy(update=changed), baseline=baseline)
        kept = {config: tuple(one.path for one in found) for config, found in shards.items()}
        return run, kept

    @contextmanager
    def _saved(self, run: Run, tick: str) -> Iterator[None]:
        """Restores what another machine has made for this tick, and saves what is made here."""
        state = self.state
        if state is None:
            yield
            return
        start = run.baseline.start if run.baseline else 0
        if found := state.restore(run.folder, tick, start):
            self.say(f"{found:,} rows of this tick were made elsewhere; continuing from there")
        every = self.recipe.regenerate.checkpoint_seconds
        with state.keeping(run.folder, tick, start, every=every, say=self.say):
            yield

    def _clear_state(self, tick: str) -> None:
        """Removes the saved work of a published tick; that it cannot be reached is only said."""
        if self.state is not None:
            try:
                self.state.clear(tick)
            except MagpieError as error:
                self.say(f"{error}; the work saved there for this tick is no longer needed")

    def _check_drift(
        self,
        published: PublishedRelease,
        stats: Mapping[str, Any],
        new: _NewRows,
        notes: Sequence[str],
        **bounds: float,
    ) -> DriftReport:
        """Compares new rows with the published ones, and writes the report.

        Raises:
            DriftError: They are refused.
        """
        wanted = self.recipe.regenerate.drift.model_copy(update=bounds)
        found = examine(published.stats, stats, wanted, full_refresh=self.tick.refresh)
        text = write_report(
            found,
            name=self.recipe.name,
            tick=new.tick,
            tag=new.tag,
            repo_id=self.repo_id,
            published_rows=published.manifest["rows"],
            new_rows=stats["rows"],
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

    # ---- the commit

    def _publish(self, release: Release, manifest: Mapping[str, Any]) -> str | None:
        """Publishes the release; its new shards need not be read again by the next tick."""
        options = PublishOptions(
            self.out,
            self.recipe.name,
            self.repo_id,
            replace=self.tick.refresh,
            reviewed=(*self.recipe.hub.reviewed, *self.tick.reviewed),
        )
        done = publish(options, say=self.say, api=self.api, sleep=self.sleep)
        increment, turns = manifest["increments"][-1], int(release.stats["turns"])
        for path in increment["files"]:
            columns = cached_columns(config_of(path) or "", turns)
            ShardCache(home()).put(manifest["files"][path]["sha256"], release.path / path, columns)
        self._clear_state(increment["tick"])
        return done.commit

    def _result(
        self,
        state: State,
        manifest: Mapping[str, Any],
        increment: Mapping[str, Any],
        commit: str | None,
        warnings: tuple[str, ...] = (),
    ) -> Regenerated:
        is_built = state != "unchanged"
        return Regenerated(
            state=state,
            repo_id=self.repo_id,
            tick=increment["tick"],
            tag=increment["tag"],
            commit=commit,
            added=increment["rows"],
            rows=manifest["rows"],
            edition=manifest["edition"],
            warnings=warnings,
            out=str(self.out) if is_built else None,
            report=str(self.report) if is_built else None,
        )


def _recipe_changes(run: Run, published: PublishedRelease) -> list[str]:
    """What a reader of the changelog should know of the recipe, beside what the rows show."""
    draws = PublicNames(run.recipe).draws(run.recipe, run.source.revision)
    if run.baseline is None or draws == published.manifest["increments"][-1]["draws"]:
        return []
    return ["the recipe's sampling, seed or gates are not those of the rows before"]


def _stats_so_far(run: Run) -> dict[str, Any]:
    """The statistics of an increment that too few rows pass to be finished."""
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
