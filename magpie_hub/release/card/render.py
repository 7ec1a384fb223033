"""The dataset card: rendered from the templates in `dataset_cards/` and a release's own numbers.

A pure function of what it is given. Every number comes from the statistics, the manifest or the
Parquet footers. A recipe may put words of its own in the place of any block of the template
(`card.blocks`); those are Jinja as well, in a sandbox, with the same data.
"""

from __future__ import annotations

import functools
import json
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import jinja2
from jinja2.sandbox import ImmutableSandboxedEnvironment

from magpie_hub.errors import UserError, one_line
from magpie_hub.judges.models import tags_itself
from magpie_hub.recipe.config import Recipe
from magpie_hub.recipe.variants import shipped
from magpie_hub.release.card import columns as fields
from magpie_hub.release.card import funnel, tables
from magpie_hub.release.card import markdown as escape
from magpie_hub.release.card import numbers as numerals
from magpie_hub.release.card.front_matter import front_matter, write_front
from magpie_hub.release.card.licenses import find_license
from magpie_hub.release.card.merge import BEGIN, END
from magpie_hub.release.columns import judge_columns
from magpie_hub.release.schema import RAW, SHAREGPT
from magpie_hub.selection.rules import conditions

GAP = "\0"
"""A paragraph's end in the templates; many in a row are one. No text on a card holds it."""

LANGUAGE_SHARE = 0.05
"""Least share of the rows by which a detected language is one of the dataset's."""


@dataclass(frozen=True, slots=True)
class CardData:
    """What a card is made of.

    Attributes:
        recipe: The recipe, with this run's settings.
        stats: As in ``stats.json``.
        manifest: As in ``manifest.json``; its `files` are not read.
        info: As `magpie_hub.release.dataset_info.dataset_info` returns it.
        tag: The tag that pins these rows.
        license: Licence of the generator, as its own card names it; None where unknown.
        license_link: Where the licence can be read, for one that the Hub has no identifier for.
        examples: Published rows to show.
        pictures: File name inside ``assets/``, title and alternative text of each picture.
        repo_id: Where it is published; None while that is not known.
        siblings: Datasets that stand beside it in its namespace: `name`, `repo_id`, `turns`,
            `generator`, `rows`.
        changelog: Releases, the newest first: `tag`, `date`, `text`.
    """

    recipe: Recipe
    stats: Mapping[str, Any]
    manifest: Mapping[str, Any]
    info: Sequence[Mapping[str, Any]]
    tag: str
    license: str | None = None
    license_link: str | None = None
    examples: Sequence[Mapping[str, Any]] = ()
    pictures: Sequence[tuple[str, str, str]] = ()
    repo_id: str | None = None
    siblings: Sequence[Mapping[str, Any]] = ()
    changelog: Sequence[Mapping[str, Any]] = ()


def render_card(data: CardData) -> str:
    """Renders a card.

    Returns:
        Markdown with YAML front matter by which ``load_dataset`` finds the data. What we have
        written stands between the markers of `magpie_hub.release.card.merge`.

    Raises:
        UserError: A block that the recipe names is not there, or cannot be rendered.
    """
    card = data.recipe.card
    front = front_matter(
        name=card.pretty_name or data.recipe.name,
        license=find_license(card.license or data.license),
        license_link=data.license_link,
        language=_languages(data),
        judged=bool(data.recipe.judges.names),
        size=size_category(data.stats["rows"]),
        tags=(*(("multi-turn",) if data.recipe.turns > 1 else ()), *card.tags),
        info=data.info,
    )
    return f"{write_front(front)}\n{BEGIN}\n\n{_body(data)}\n\n{END}\n"


def block_names(turns: int) -> list[str]:
    """Names of the blocks that a recipe may put its own words in place of.

    Args:
        turns: User turns of the conversations, which choose the template.
    """
    environment = _environment()
    name: str | None = _template(turns)
    names: dict[str, None] = {}
    while name is not None:
        loader = environment.loader
        assert loader is not None
        source, _, _ = loader.get_source(environment, name)
        names = dict.fromkeys(re.findall(r"{% block (\w+)", source)) | names
        parent = re.match(r'{% extends "([^"]+)"', source)
        name = parent[1] if parent else None
    return list(names)


def _body(data: CardData) -> str:
    environment = _environment()
    template = _template(data.recipe.turns)
    context = _context(data)
    blocks = data.recipe.card.blocks
    known = block_names(data.recipe.turns)
    for name, text in blocks.items():
        if name not in known:
            raise UserError(f"card.blocks: no block is called {name}; there are {', '.join(known)}")
        _try(environment, template, name, text, context)
    own = _child(template, blocks)
    return _joined(environment.from_string(own).render(context))


def _try(
    environment: jinja2.Environment,
    template: str,
    name: str,
    text: str,
    context: Mapping[str, Any],
) -> None:
    """Renders a person's block alone, so that what is wrong with it can be said.

    Raises:
        UserError: It cannot be rendered, or holds one of our markers.
    """
    try:
        # By itself first: an `endblock` in it would end ours.
        environment.parse(text)
        words = environment.from_string(_child(template, {name: text})).render(context)
    except (
        jinja2.TemplateError,
        ArithmeticError,
        AttributeError,
        LookupError,
        RecursionError,
        TypeError,
        ValueError,
    ) as error:
        said = one_line(error)
        raise UserError(f"card.blocks.{name}: cannot be rendered: {said}") from None
    if {BEGIN, END} & {line.rstrip() for line in _joined(words).split("\n")}:
        raise UserError(f"card.blocks.{name}: {BEGIN} and {END} are the card's own; leave them out")


def _child(template: str, blocks: Mapping[str, str]) -> str:
    inside = "".join(
        f"{{% block {name} %}}{text.replace(GAP, '')}{{% endblock %}}"
        for name, text in blocks.items()
    )
    return f'{{% extends "{template}" %}}{inside}'


def _joined(rendered: str) -> str:
    parts = (part.strip("\n") for part in rendered.split(GAP))
    return "\n\n".join(part for part in parts if part.strip())


def _template(turns: int) -> str:
    return "single-turn.md.jinja" if turns == 1 else "multi-turn.md.jinja"


@functools.cache
def _environment() -> jinja2.Environment:
    environment = ImmutableSandboxedEnvironment(
        loader=jinja2.FileSystemLoader(shipped("dataset_cards")),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "about": numerals.about,
        "bibtex": escape.bibtex,
        "cell": escape.cell,
        "code": escape.code,
        "count": numerals.count,
        "duration": numerals.duration,
        "fence": escape.fence,
        "inline": escape.inline,
        "number": numerals.number,
        "plural": numerals.plural,
        "quoted": _quoted,
        "share": numerals.share,
        "shell": _shell,
        "size": numerals.size,
        "snippet": escape.snippet,
        "url": _url,
        "value": _value,
    }
    return environment


def _quoted(text: object) -> str:
    """A string as Python and JSON write it."""
    return json.dumps(escape.line(text), ensure_ascii=False)


def _shell(text: object) -> str:
    """A word of a command line."""
    return shlex.quote(escape.line(text))


def _url(text: object) -> str:
    """A part of an address, slashes kept."""
    return quote(escape.line(text), safe="/")


def _value(value: object) -> str:
    """A label of an example."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return numerals.number(value)
    return escape.inline(value, 200)


def _tokens(stats: Mapping[str, Any]) -> int:
    """Tokens of all turns; the means have six digits, so that this is about right."""
    turns = [one for name, one in stats["lengths"].items() if name.startswith("turn_tokens")]
    return round(sum(float(one["mean"] or 0) * int(one["count"]) for one in turns))


def _context(data: CardData) -> dict[str, Any]:
    """What the templates see: plain data, and the rows of their tables."""
    recipe, stats, manifest = data.recipe, data.stats, data.manifest
    card = recipe.card
    repo_id = data.repo_id or f"<namespace>/magpie-{recipe.name}"
    return {
        "GAP": GAP,
        "title": card.pretty_name or recipe.name,
        "recipe": recipe.model_dump(mode="json"),
        "stats": stats,
        "manifest": manifest,
        "info": data.info,
        "tag": data.tag,
        "repo_id": repo_id,
        "author": data.repo_id.split("/")[0] if data.repo_id else None,
        "year": _year(data),
        "license": find_license(card.license or data.license),
        "generator_license": find_license(data.license),
        "examples": data.examples,
        "pictures": data.pictures,
        "siblings": _siblings(data),
        "changelog": data.changelog,
        **{
            config: any(one["config_name"] == config for one in data.info)
            for config in (RAW, SHAREGPT)
        },
        "tokens": _tokens(stats),
        "shown": [column.name for column in judge_columns() if column.in_examples],
        "headings": tables.label_headings(),
        "against": list(recipe.judges.neighbors.against) if recipe.judges.neighbors else [],
        "tags_itself": tags_itself(recipe),
        "fields": fields.field_rows(data.info),
        "steps": funnel.steps(stats["funnel"]),
        "judges": tables.judges(recipe, manifest["judges"]),
        "idle": tables.idle_judges(recipe),
        "gates": tables.gate_names(recipe),
        "rules": conditions(recipe.selection),
        "preset": tables.preset_of(recipe.selection),
        "left_out": recipe.judges.left_out_text,
        "local": str(manifest["model"]["revision"]).startswith("local-"),
        "pre_queries": list((manifest.get("pre_queries") or {}).values())
        or [manifest["chat"]["pre_query"]["text"]],
        "one_recipe": len({one.get("draws") for one in manifest["increments"]}) == 1,
        "sampling": tables.sampling(recipe, stats["sampling"]),
        "sessions": tables.sessions(manifest["sessions"]),
        "failures": tables.failures(stats["failures"]),
        "counts": tables.counts,
        "repeats": tables.repeats,
    }


def _languages(data: CardData) -> list[str]:
    """Codes of the languages: the recipe's, or those that were found in more than a few rows."""
    if data.recipe.card.language is not None:
        return list(data.recipe.card.language)
    found = data.stats["labels"].get("language", {}).get("counts", {})
    least = LANGUAGE_SHARE * sum(found.values())
    return [code.lower() for code, rows in found.items() if rows >= least]


def _siblings(data: CardData) -> list[Mapping[str, Any]]:
    """This dataset and those beside it, by name; none if it stands alone."""
    if not data.siblings:
        return []
    this = {
        "name": data.recipe.name,
        "repo_id": None,
        "turns": data.stats["turns"],
        "generator": data.manifest["model"]["name"],
        "rows": data.stats["rows"],
    }
    return sorted([this, *data.siblings], key=lambda one: str(one["name"]))


def _year(data: CardData) -> str | None:
    """The year of the newest release, or of the last engine session."""
    days = [str(one["date"]) for one in data.changelog]
    days = days or [str(one.get("started", "")) for one in data.manifest["sessions"]]
    years = [day[:4] for day in days if re.match(r"\d{4}", day)]
    return max(years, default=None)


def size_category(rows: int) -> str:
    """The Hub's size category of so many rows."""
    if rows < 1_000:
        return "n<1K"
    for low, high, name in (
        (1_000, 10_000, "1K<n<10K"),
        (10_000, 100_000, "10K<n<100K"),
        (100_000, 1_000_000, "100K<n<1M"),
        (1_000_000, 10_000_000, "1M<n<10M"),
        (10_000_000, 100_000_000, "10M<n<100M"),
    ):
        if low <= rows < high:
            return name
    return "100M<n<1B"
