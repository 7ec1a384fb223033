"""The `datasets` builder: reads a recipe file and yields rows; generates those the journals lack.

It is thin on purpose: `datasets` patches `open`, `os.path` and `pathlib.Path` inside a builder's
module. `magpie_hub.pipeline.run` and `magpie_hub.release.stream` do the work; they are imported
when rows are needed, so a cached dataset loads without them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import field, make_dataclass
from typing import TYPE_CHECKING, Any

import datasets
from datasets.exceptions import DatasetGenerationError

from magpie_hub.builder.call import check_call
from magpie_hub.errors import MagpieError, UserError
from magpie_hub.pipeline.open import open_recipe
from magpie_hub.recipe.config import Recipe
from magpie_hub.recipe.overrides import OVERRIDES
from magpie_hub.recipe.settings import NAME
from magpie_hub.release.schema import Row, arrow_schema
from magpie_hub.torch_env import import_torch

if TYPE_CHECKING:
    from magpie_hub.pipeline.run import Run
    from magpie_hub.selection.deliver import Delivery

_Overrides = make_dataclass(
    "_Overrides",
    [
        *(
            (override.name, override.type | None, field(default=None))
            for override in OVERRIDES.values()
        ),
        (NAME, Any, field(default=None)),
    ],
    bases=(datasets.BuilderConfig,),
    namespace={"__module__": __name__},
)


class MagpieConfig(_Overrides):  # type: ignore[misc, valid-type]
    """One config of a builder folder. Its keywords are the recipe's overrides."""

    _recipe = None  # Read once; not a field, so that comparisons ignore it.

    def recipe(self) -> Recipe:
        """The config's recipe file with keywords and MAGPIE_* variables applied.

        Raises:
            UserError: There is not exactly one recipe file, or something in it is refused.
        """
        if self._recipe is not None:
            return self._recipe
        files = [str(path) for paths in (self.data_files or {}).values() for path in paths]
        if len(files) != 1:
            raise UserError(f"config {self.name}: one recipe file is needed, found {len(files)}")
        overrides = {name: getattr(self, name) for name in (*OVERRIDES, NAME)}
        self._recipe = open_recipe(files[0], overrides)
        return self._recipe

    def create_config_id(self, config_kwargs: Any, custom_features: Any = None) -> str:
        """Names the cache folder after everything that determines the rows."""
        from magpie_hub.builder.pins import rows_fingerprint

        return f"{self.name}-{rows_fingerprint(self.recipe())}"


class Magpie(datasets.GeneratorBasedBuilder):  # type: ignore[misc]
    """Builds a variant, generating the rows that its journals lack."""

    BUILDER_CONFIG_CLASS = MagpieConfig

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        check_call(kwargs, [config.name for config in self.BUILDER_CONFIGS])
        super().__init__(*args, **kwargs)

    def _info(self) -> datasets.DatasetInfo:
        recipe = self.config.recipe()
        schema = arrow_schema(recipe.turns, recipe.judges.names)
        features = datasets.Features.from_arrow_schema(schema)
        return datasets.DatasetInfo(description=recipe.description, features=features)

    def download_and_prepare(self, *args: Any, num_proc: int | None = None, **kwargs: Any) -> None:
        """Prepares the dataset; the package's own errors are raised unchanged.

        Raises:
            MagpieError: See `magpie_hub.pipeline.loop.complete`.
        """
        if num_proc is not None and num_proc > 1:
            raise UserError(
                f"num_proc={num_proc}: each process would load the model onto the same device; "
                "leave num_proc out, one engine already decodes many rows at once"
            )
        try:
            super().download_and_prepare(*args, **kwargs)
        except DatasetGenerationError as error:
            if isinstance(error.__cause__, MagpieError):
                raise error.__cause__ from None
            raise

    def _split_generators(self, dl_manager: Any) -> list[datasets.SplitGenerator]:
        from magpie_hub.builder.watch import complete_in_sight
        from magpie_hub.pipeline.run import Run

        recipe = self.config.recipe()
        # Opened here, where an error is raised as it is, and before anything is written.
        run = Run.open(recipe)
        if dl_manager.is_streaming:
            import_torch()  # Before `datasets` does, with torch's own settings.
        # Here, before `datasets` draws a bar of its own, which then runs through in a moment.
        delivery = None if dl_manager.is_streaming else complete_in_sight(run)
        split = datasets.SplitGenerator(
            name=datasets.Split.TRAIN, gen_kwargs={"run": run, "delivery": delivery}
        )
        # Known beforehand, so the progress bar has an end.
        split.split_info.num_examples = recipe.rows
        return [split]

    def _generate_examples(self, run: Run, delivery: Delivery | None) -> Iterator[tuple[int, Row]]:
        from magpie_hub.builder.watch import watching
        from magpie_hub.release.stream import stream_rows

        for row in stream_rows(run, watching, delivery):
            yield row["row_id"], row
