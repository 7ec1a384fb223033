"""The dataset card: rendered from the templates in `dataset_cards/` and a release's own numbers.

A pure function of what it is given. Every number comes from the statistics, the manifest or the
Parquet footers. A recipe may put words of its own in the place of any block of the template
(`card.blocks`); those are Jinja as well, in a sandbox, with the same data.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import jinja2
from jinja2.sandbox import ImmutableSandboxedEnvironment

from magpie_hub.errors import UserError, one_line
from magpie_hub.judges.models import tags_itself
from magpie_hub.recipe.variants import shipped
from magpie_hub.release.card import columns as fields
from magpie_hub.release.card import funnel, tables
from magpie_hub.release.card import markdown as escape
from magpie_hub.release.card import numbers as numerals
from magpie_hub.release.card.data import CardData
from magpie_hub.release.card.front_matter import front_matter, write_front
from magpie_hub.release.card.licenses import find_license
from magpie_hub.release.card.merge import BEGIN, END
from magpie_hub.release.columns import judge_columns
from magpie_hub.release.schema import RAW, SHAREGPT
from magpie_hub.selection.rules import conditions

GAP = "\0"
"""A paragraph's end in the templates; many in a row are one. No text on a card holds it."""


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
        language=data.languages,
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
    templates = map(_environment().get_template, ("base.md.jinja", _template(turns)))
    return list(dict.fromkeys(name for template in templates for name in template.blocks))


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
    """Renders a block of the recipe alone, so that an error names it.

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
        "quoted": escape.quoted,
        "share": numerals.share,
        "shell": escape.shell,
        "size": numerals.size,
        "snippet": escape.snippet,
        "url": escape.url,
        "value": escape.value,
    }
    return environment


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
        "year": data.year,
        "license": find_license(card.license or data.license),
        "generator_license": find_license(data.license),
        "examples": data.examples,
        "pictures": data.pictures,
        "siblings": data.variants,
        "changelog": data.changelog,
        **{
            config: any(one["config_name"] == config for one in data.info)
            for config in (RAW, SHAREGPT)
        },
        "tokens": data.tokens,
        "shown": [column.name for column in judge_columns() if column.in_examples],
        "headings": tables.label_headings(),
        "against": list(recipe.judges.neighbors.against) if recipe.judges.neighbors else [],
        "tags_itself": tags_itself(recipe),
        "fields": fields.field_rows(data.info),
        "steps": funnel.funnel_steps(stats["funnel"]),
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


def size_category(rows: int) -> str:
    """The Hub's size category for a number of rows."""
    ends = ("1K", "10K", "100K", "1M", "10M", "100M", "1B")
    if rows < 1_000:
        return "n<1K"
    place = min(len(str(rows)) - 4, len(ends) - 2)
    return f"{ends[place]}<n<{ends[place + 1]}"
