"""How many of the planted values the scan finds, and how many harmless texts it reports.

    python -m tests.scan.measured

prints the table of docs/release.md; a test compares the page with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from magpie_hub.scan.text import find, kinds

from .harmless import NEARLY, ORDINARY, PLACEHOLDERS, PUBLISHED
from .planted import Planted, every_form

AROUND = {
    "a line of its own": "Hello, here it is:\n{}\nThank you!",
    "quotes": 'It is "{}".',
    "apostrophes": "x = '{}'",
    "backticks": "Use `{}` here",
    "bold": "**{}**",
    "brackets": "(see {})",
    "a list": "a, {}, b",
    "columns": "a,{},b",
    "Windows' line ends": "a\r\n{}\r\nb",
    "HTML": "<b>{}</b>",
    "an arrow": "=>{}",
    "JSON": '{{"a": "{}"}}',
    "spelled-out line breaks": "Here:\\n{}\\nThanks",
    "spelled-out tabs": "x:\\t{}\\tb",
    "underscores": "_{}_",
    "Chinese": "密码是{}，请勿分享",
    "Chinese, no marks": "号{}号",
    "Japanese": "これは{}です",
    "Korean": "번호{}입니다",
    "Cyrillic": "номер{}он",
    "full-width marks": "：{}。",
    "emoji": "📞{}🔥",
    "no-break spaces": "\xa0{}\xa0",
    "zero-width spaces": "\u200b{}\u200b",
}
"""What stands beside a value in real texts."""
_SEEDS = (20, 120)


@dataclass(frozen=True, slots=True)
class Measured:
    """Figures.

    Attributes:
        found: Values found, and planted: of credentials, and of personal data.
        missed: What was not found, and beside what.
        wrong: Findings in harmless texts: of how many texts, and which.
    """

    found: dict[str, tuple[int, int]]
    missed: list[str]
    texts: int
    wrong: list[str]


def harmless() -> Iterator[str]:
    """Texts in which nothing is to be found."""
    for texts in (PUBLISHED, NEARLY, ORDINARY):
        yield from texts.values()
    yield from PLACEHOLDERS


def measure() -> Measured:
    """Plants everything everywhere, and looks through all of it at once."""
    cases = [(one, beside) for seed in _SEEDS for one in every_form(seed) for beside in AROUND]
    hits = look(planted_text(one, beside) for one, beside in cases)
    counts = {"credentials": [0, 0], "personal data": [0, 0]}
    missed = []
    for (one, beside), found in zip(cases, hits, strict=True):
        count = counts["personal data" if kinds()[one.kind] else "credentials"]
        count[1] += 1
        if any(is_value(one, kind, value) for kind, value in found):
            count[0] += 1
        else:
            missed.append(f"{one.kind} {one.text[:12]}… beside {beside}")
    texts = list(harmless())
    wrong = [
        f"{kind} in {text[:60]!r}"
        for text, found in zip(texts, look(texts), strict=True)
        for kind, _ in found
    ]
    figures = {name: (count[0], count[1]) for name, count in counts.items()}
    return Measured(figures, missed, len(texts), wrong)


def look(texts: Iterable[str]) -> list[list[tuple[str, str]]]:
    """What is found in each text: kinds and values."""
    texts = list(texts)
    found: list[list[tuple[str, str]]] = [[] for _ in texts]
    for index, kind, value, _ in find(texts):
        found[index].append((kind, value))
    return found


def planted_text(planted: Planted, beside: str) -> str:
    """A value with something beside it."""
    is_escaped = beside.startswith(("spelled-out", "JSON"))
    text = planted.text.replace("\n", "\\n") if is_escaped else planted.text
    return AROUND[beside].format(text)


def is_value(planted: Planted, kind: str, value: str) -> bool:
    """Whether a finding is the planted value; a mark beside it may be taken for a part of it."""
    return (
        kind == planted.kind
        and value.startswith(planted.value)
        and len(value) < len(planted.value) + 3
    )


def table(measured: Measured) -> str:
    """The figures in Markdown."""
    lines = ["| planted | found | of |", "|---|---|---|"]
    lines += [f"| {name} | {found:,} | {of:,} |" for name, (found, of) in measured.found.items()]
    lines.append(
        f"| harmless texts with a finding | {len(measured.wrong):,} | {measured.texts:,} |"
    )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    done = measure()
    print("\n".join([*done.missed, *done.wrong]))
    print(table(done))
