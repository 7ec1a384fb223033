"""The docs say what the code says."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

from magpie_hub.recipe import variant_names

ROOT = Path(__file__).resolve().parents[1]


def test_the_reference_is_what_the_code_says() -> None:
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert (ROOT / "docs" / "reference.md").read_text() == module.render(), "run: make docs"


def test_the_readme_names_every_variant_and_only_files_that_exist() -> None:
    text = (ROOT / "README.md").read_text()
    assert all(f"`{name}`" in text for name in variant_names())
    for link in re.findall(r"\]\(([^)#]+)", text):
        if not link.startswith("http"):
            assert (ROOT / link).exists(), link


def test_no_room_imports_from_a_floor_above() -> None:
    """The floors of docs/architecture.md, lowest first."""
    floors = {
        1: {"errors", "recipe", "home", "runtime"},
        2: {"engine", "models", "chat", "database", "language", "neighbors"},
        3: {"gates", "plan", "journal", "book", "judges", "labels", "selection", "spent"},
        4: {
            "rollout",
            "generate",
            "verdicts",
            "delivery",
            "schema",
            "published",
            "engines",
            "state",
        },
        5: {"closeness", "generator", "judging", "rounds"},
        6: {"job"},
        7: {"release", "scan", "background"},
        8: {"api", "builder", "probe", "scaffold", "stream", "hub"},
        9: {"cli", "progress", "chatter", "__main__"},
    }
    floor_of = {room: floor for floor, rooms in floors.items() for room in rooms}
    package = ROOT / "magpie_hub"
    for path in package.rglob("*.py"):
        room = path.relative_to(package).parts[0].removesuffix(".py")
        if room == "__init__":
            continue
        for imported in re.findall(r"(?:from|import) magpie_hub\.(\w+)", path.read_text()):
            assert floor_of[imported] <= floor_of[room], f"{path} imports {imported}"
