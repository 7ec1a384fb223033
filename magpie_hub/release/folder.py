"""The release folder: written whole or not at all.

It is a pure function of the journals, the recipe and the versions of the libraries: built twice,
it is the same to the byte. What `build --out DIR` leaves is what a push would send::

    README.md  data/default/train-00000-of-000NN.parquet  stats.json  manifest.json  recipe.yaml
               data/raw/train-…                            assets/…
               data/sharegpt/train-…

The config `raw` holds every planned row: the delivered ones, and the rejected ones with reason;
`sharegpt` the delivered rows' turns under the names that ShareGPT has for them.
A release that adds to a published one (`Increment`) holds its own shards alone.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml

from magpie_hub.dedup.index import sample_rows
from magpie_hub.engines.registry import backend
from magpie_hub.errors import JournalError
from magpie_hub.files import sha256_of
from magpie_hub.judges.join import JoinedLabels
from magpie_hub.judges.models import REVISIONS
from magpie_hub.pipeline.run import Run
from magpie_hub.recipe.fingerprint import METHOD, recipe_fingerprint
from magpie_hub.recipe.load import parse_recipe
from magpie_hub.release.card.data import card_data
from magpie_hub.release.card.render import render_card
from magpie_hub.release.dataset_info import content_bytes
from magpie_hub.release.increment import Increment, first_release, next_release
from magpie_hub.release.output import MADE_BY, MANIFEST, taking
from magpie_hub.release.parquet import Shards
from magpie_hub.release.plots.draw import draw_plots
from magpie_hub.release.plots.style import PlotData
from magpie_hub.release.plots.tsne import project
from magpie_hub.release.published_names import PublicNames, without_paths
from magpie_hub.release.rows import Rows, delivered, given_first, opened
from magpie_hub.release.schema import (
    DEFAULT,
    RAW,
    SHAREGPT,
    arrow_schema,
    sharegpt_schema,
    to_sharegpt,
)
from magpie_hub.release.stats import describe
from magpie_hub.selection.deliver import Delivery, Funnel
from magpie_hub.store.rows import RowStore
from magpie_hub.store.usage import total

MAPPED = 2_000  # Instructions of each set on the coverage map.


@dataclass(frozen=True, slots=True)
class Release:
    """A release folder that has been written.

    Attributes:
        path: The folder.
        rows: Rows of the dataset, those that were published before among them.
        funnel: Where the planned rows went.
        stats: The content of its ``stats.json``.
        files: Its files, relative to `path`, sorted.
    """

    path: Path
    rows: int
    funnel: Funnel
    stats: Mapping[str, Any]
    files: tuple[str, ...]

    @property
    def card(self) -> Path:
        """The dataset card."""
        return self.path / "README.md"


def write_release(
    run: Run, out: Path, added: Increment | None = None, *, delivery: Delivery | None = None
) -> Release:
    """Writes the release of a run whose rows are all in its journals.

    An earlier release in the same place is replaced in one step; on any failure it stays.

    Args:
        run: The run.
        out: The folder.
        added: What is published, if the run's rows are added to it or follow it.
        delivery: The rows, as `magpie_hub.pipeline.loop.complete` returns them; looked for in the
            journals if not given.

    Raises:
        OutputError: As in `taking`.
        JournalError: Rows are missing.
    """
    with taking(out, run.home) as folder:
        delivery = delivery or run.delivery()
        if delivery is None:
            name = run.recipe.name
            raise JournalError(f"{run.folder}: rows of {name} are missing; build it first")
        release = _write(run, delivery, folder, added)
    return replace(release, path=out.absolute())


def _write(run: Run, delivery: Delivery, folder: Path, added: Increment | None) -> Release:
    recipe = run.recipe
    with opened(run, delivery) as (row_store, labels):
        shards = _write_data(run, row_store, labels, delivery, folder, added)
        public = PublicNames(recipe)
        sessions: list[Any] = [_published_session(one) for one in row_store.first.sessions()]
        chat, given = row_store.first.meta("chat"), given_first(run, row_store)
        judges = row_store.first.meta(REVISIONS) or {}
        costs = total(replace(one, model=public.of(one.model)) for one in row_store.usage())
        coverage, mapped = _coverage(run, row_store, delivery, public)
    mine = [shard for config in shards.values() for shard in config]
    hashes = _hashes(mine)
    stats = describe(shards[DEFAULT], shards[RAW], costs)
    increment = {
        "tag": _data_tag(hashes.values()),
        "date": max(session["started"] for session in sessions)[:10],
        "first_row": row_store.start,
        "end_row": row_store.start + delivery.funnel.planned,
        "rows": len(delivery.row_ids),
        "funnel": delivery.funnel.to_json(),
        "revision": run.source.revision,
        "draws": public.draws(recipe, run.source.revision),
        "files": [shard.relative_to(folder).as_posix() for shard in mine],
    }
    if added is None:
        history = first_release(increment)
    else:
        history = next_release(added, increment, *added.examine(stats))
        sessions = added.sessions(sessions)
        if not added.full_refresh:
            both = {name: [*added.kept[name], *shards[name]] for name in added.kept}
            stats = describe(both[DEFAULT], both[RAW], added.costs(costs))
    stats["changelog"] = history.figures
    kept = added.kept.get(DEFAULT, ()) if added else ()
    neighbors = recipe.judges.neighbors
    data = PlotData(
        stats,
        coverage,
        _categories([*kept, *shards[DEFAULT]], mapped),
        neighbors.distance if neighbors else None,
    )
    pictures = draw_plots(data, folder / "assets")
    recipe_text = _recipe_text(run, stats["rows"], public)
    manifest: dict[str, Any] = {
        "made_by": MADE_BY,
        "version": version("magpie-hub"),
        "method": METHOD,
        "name": recipe.name,
        "tag": history.tag,
        "edition": history.version,
        "rows": stats["rows"],
        "seed": recipe.seed,
        "recipe_fingerprint": recipe_fingerprint(parse_recipe(recipe_text, "recipe.yaml")),
        "model": {
            "name": public.generator,
            "revision": run.source.revision,
            "license": run.source.license,
        },
        "unnamed": list(public.unnamed),
        "judges": public.judges(judges),
        "chat": chat,
        "pre_queries": given,
        "columns": arrow_schema(recipe.turns, recipe.judges.names).names,
        "sessions": sessions,
        "versions": _versions(),
        "funnel": stats["funnel"],
        "pictures": [asdict(picture) for picture in pictures],
        "changelog": history.changelog,
        "increments": history.increments,
        "files": dict(history.files),
    }
    _dump(folder / "stats.json", stats)
    (folder / "recipe.yaml").write_text(recipe_text, encoding="utf-8")
    (folder / "README.md").write_text(render_card(card_data(folder, manifest)), encoding="utf-8")
    hashes |= _hashes(path for path in folder.rglob("*") if path.is_file() and path not in hashes)
    for path in sorted(hashes):
        name = path.relative_to(folder).as_posix()
        entry = {"sha256": hashes[path], "bytes": path.stat().st_size}
        manifest["files"][name] = entry | (content_bytes(path) if path in mine else {})
    _dump(folder / MANIFEST, manifest)
    names = (*manifest["files"], MANIFEST)
    return Release(folder, stats["rows"], delivery.funnel, stats, tuple(sorted(names)))


def _write_data(
    run: Run,
    row_store: RowStore,
    labels: JoinedLabels,
    delivery: Delivery,
    folder: Path,
    added: Increment | None,
) -> dict[str, list[Path]]:
    """Writes the shards of all configs in one pass; returns them by config."""
    turns, judges = run.recipe.turns, run.recipe.judges.names
    schemas = {
        DEFAULT: arrow_schema(turns, judges),
        RAW: arrow_schema(turns, judges, raw=True),
        SHAREGPT: sharegpt_schema(),
    }
    with contextlib.ExitStack() as stack:
        writers = {}
        for config, schema in schemas.items():
            before = 0 if added is None else added.shards_before(config)
            shards = Shards(schema, folder / "data" / config, before=before)
            writers[config] = stack.enter_context(shards)
        for table in Rows(run, row_store, labels).planned(delivery):
            rows = delivered(table)
            writers[RAW].add(table)
            writers[DEFAULT].add(rows)
            writers[SHAREGPT].add(to_sharegpt(rows))
    return {config: writer.paths for config, writer in writers.items()}


def _data_tag(hashes: Iterable[str]) -> str:
    """Names the data by what it is: the same rows have the same tag, wherever they are pushed."""
    digest = hashlib.sha256("".join(hashes).encode())
    return f"data-{digest.hexdigest()[:12]}"


def _coverage(
    run: Run, row_store: RowStore, delivery: Delivery, public: PublicNames
) -> tuple[dict[str, Any], int]:
    """Points of the coverage map, and of how many rows its own are drawn.

    There are none without embeddings, or without the library that lays them out.
    """
    judge_runner = run.judge_runner(row_store)
    if judge_runner is None or judge_runner.neighbor_index is None or find_spec("sklearn") is None:
        return {}, 0
    neighbor_index, name = (
        judge_runner.neighbor_index,
        run.recipe.card.pretty_name or run.recipe.name,
    )
    sets = {name: neighbor_index.sample(delivery.row_ids, MAPPED)}
    for other in run.recipe.card.beside:
        sets[public.of(other)] = neighbor_index.sample_beside(other, MAPPED)
    rows = neighbor_index.published_rows + len(delivery.row_ids)
    return project(sets, most=MAPPED), rows


def _categories(shards: Sequence[Path], mapped: int) -> list[str | None]:
    """The categories of the coverage map's own points; none without tags, or of other rows."""
    import pyarrow.dataset as ds

    rows = ds.dataset([str(shard) for shard in shards], format="parquet")
    if "task_category" not in rows.schema.names or rows.count_rows() != mapped:
        return []
    labels = rows.to_table(columns=["task_category"])["task_category"]
    return list(labels.take(sample_rows(range(len(labels)), MAPPED)).to_pylist())


def _recipe_text(run: Run, rows: int, public: PublicNames) -> str:
    data = public.recipe(run.recipe.model_dump(mode="json", exclude_unset=True))
    data["rows"] = rows
    data["model_revision"] = run.source.revision
    # Hashes of short numbers can be guessed back, so what was reviewed is not published.
    data.get("hub", {}).pop("reviewed", None)
    # A server's address is private, and without it there is no engine server.
    if data.pop("base_url", None) is not None:
        data.pop("engine", None)
    # The state of a schedule may be in a private bucket.
    data.get("regenerate", {}).pop("state", None)
    header = "# The recipe that made this dataset, with this run's settings and the pinned model.\n"
    return header + yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=100)


def _published_session(session: dict[str, Any]) -> dict[str, Any]:
    """An engine session, without the address of a server and this machine's paths."""
    session = without_paths(session)
    if not backend(session["engine"]).remote:
        return session
    settings = {key: value for key, value in session["settings"].items() if key != "base_url"}
    return session | {"device": session["engine"], "settings": settings}


def _versions() -> dict[str, str]:
    found = {}
    for package in ("datasets", "huggingface_hub", "pyarrow", "transformers", "torch"):
        with contextlib.suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


def _hashes(paths: Iterable[Path]) -> dict[Path, str]:
    """SHA-256 of files, several at once."""
    paths = list(paths)
    with ThreadPoolExecutor() as pool:
        return dict(zip(paths, pool.map(sha256_of, paths), strict=True))


def _dump(path: Path, data: dict[str, Any]) -> None:
    path.write_text(json.dumps(data, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
