"""Makes the builder known to `datasets`, which has tables for its packaged builders.

The tables are private and have moved between versions (`_ALL_ALLOWED_EXTENSIONS` lived in `load`
until 4.3; `_MODULE_TO_METADATA_EXTENSIONS` came with 4.5), so they are looked up by name and every
one that this version has is filled in place. Tried with datasets 3.6, 4.0, 4.8 and 5.2.
"""

from __future__ import annotations

import inspect
from contextlib import nullcontext
from typing import Any

from magpie_hub.recipe.variants import SUFFIX

# Not a word that names a folder: what is registered here is what `load_dataset("<name>")` finds
# first, and "magpie" must stay free for a folder of that name.
MODULE = "magpie-hub-builder"
EXTENSION = "." + SUFFIX.split(".")[1]


def register() -> None:
    """Registers the builder; a second call does nothing.

    Raises:
        RuntimeError: This version of `datasets` keeps its tables elsewhere.
    """
    import datasets
    from datasets import load, packaged_modules

    from magpie_hub.builder import magpie

    modules = getattr(packaged_modules, "_PACKAGED_DATASETS_MODULES", None)
    by_extension = getattr(packaged_modules, "_EXTENSION_TO_MODULE", None)
    allowed = getattr(packaged_modules, "_ALL_ALLOWED_EXTENSIONS", None)
    if allowed is None:
        allowed = getattr(load, "ALL_ALLOWED_EXTENSIONS", None)
    if modules is None or by_extension is None or allowed is None:
        raise RuntimeError(
            f"magpie_hub cannot plug into datasets {datasets.__version__}: its tables of builders "
            "have moved; use a version from 3.6 to 5.2, or run 'magpie-hub build' and load the "
            "release folder that it leaves"
        )
    if MODULE in modules:
        return
    digest = packaged_modules._hash_python_lines(inspect.getsource(magpie).splitlines())
    modules[MODULE] = (magpie.__name__, digest)
    by_extension[EXTENSION] = (MODULE, {})
    allowed.append(EXTENSION)
    for table, value in (
        ("_MODULE_TO_EXTENSIONS", [EXTENSION]),
        ("_MODULE_TO_METADATA_EXTENSIONS", []),
        ("_MODULE_TO_METADATA_FILE_NAMES", []),
    ):
        found = getattr(packaged_modules, table, None)
        if found is not None:
            found[MODULE] = value
    _write_no_lock(magpie.__file__)


def _write_no_lock(ours: str) -> None:
    """Keeps `datasets` 3 from leaving a lock beside this package.

    It takes any builder but its own for a script that it has copied, and writes a lock two folders
    above it whenever one is made: into a checkout, or into site-packages, which may not be
    writable. An installed package needs none.

    Args:
        ours: The builder's file.
    """
    from datasets import streaming

    lock = getattr(streaming, "lock_importable_file", None)
    if lock is None:
        return

    def lock_theirs(file: str) -> Any:
        return nullcontext() if file == ours else lock(file)

    streaming.lock_importable_file = lock_theirs
