"""Variants: the recipes that come with the package, by name; and the user's own, by path.

The package's recipes are in the checkout's `builders/magpie/` and in the wheel, so that the
installed command works from any folder.
"""

from __future__ import annotations

import difflib
from pathlib import Path

from magpie_hub.errors import UserError

SUFFIX = ".magpie.yaml"
"""How a recipe's file name ends where `datasets` must recognise it."""


def shipped(folder: str) -> Path:
    """A data folder of the project: inside the installed package, or beside it in a checkout.

    Args:
        folder: "builders" or "dataset_cards".
    """
    package = Path(__file__).resolve().parents[1]
    inside = package / "_shipped" / folder
    return inside if inside.is_dir() else package.parent / folder


def variant_names() -> list[str]:
    """Names of all variants, sorted."""
    folder = shipped("builders") / "magpie"
    return sorted(path.name.removesuffix(SUFFIX) for path in folder.glob("*" + SUFFIX))


def recipes_in(folder: Path) -> list[Path]:
    """Recipes of a folder, sorted; none if there is no such folder."""
    try:
        return sorted(path for path in folder.glob("*" + SUFFIX) if path.is_file())
    except OSError:
        return []


def _file(text: str) -> Path:
    """The recipe file of a path.

    Raises:
        UserError: There is none, or there are several.
    """
    try:
        path = Path(text).expanduser()
        if path.is_file():
            return path
        folder = path.is_dir()
    except (OSError, RuntimeError, ValueError):
        raise UserError(f"{text[:200]!r}: no path of a recipe file") from None
    if not folder:
        raise UserError(f"{text}: no such recipe file")
    found = recipes_in(path)
    if len(found) == 1:
        return found[0]
    if found:
        raise UserError(f"{text}: which recipe? There are {', '.join(map(str, found))}")
    raise UserError(f"{text}: no recipe (*{SUFFIX}) in that folder")


def find_recipe(name: str | Path) -> Path:
    """The recipe file of a variant's name or of a path.

    Args:
        name: "air", or the path of a recipe, or of a folder with one in it, as `load_dataset` takes
            it. A name that ends in ``.yaml`` or ``.yml``, or holds a path separator, is a path.

    Raises:
        UserError: No such variant (the nearest name is given), or no such file.
    """
    text = str(name)
    if text.endswith((".yaml", ".yml", "..")) or text == "." or "/" in text or "\\" in text:
        return _file(text)
    known = variant_names()
    if text in known:
        return shipped("builders") / "magpie" / (text + SUFFIX)
    near = difflib.get_close_matches(text, known, n=1)
    if recipes_in(Path(text)):
        near = [f"./{text}"]
    hint = f"did you mean {near[0]}? " if near else ""
    raise UserError(
        f"{text}: no such variant; {hint}there are {', '.join(known)}, "
        "and a recipe of your own is named by its path (my.magpie.yaml)"
    )
