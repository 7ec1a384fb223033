"""How much of what is planted is found, and how much is found where nothing is.

    python -m tests.scan.measured

prints the table of docs/release.md; a test holds the page against it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from magpie_hub.scan.text import kinds, scan_text

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
    """Plants everything everywhere, and looks."""
    counts = {"credentials": [0, 0], "personal data": [0, 0]}
    missed = []
    for seed in _SEEDS:
        for planted in every_form(seed):
            count = counts["personal data" if kinds()[planted.kind] else "credentials"]
            for name in AROUND:
                count[1] += 1
                if is_found(planted, name):
                    count[0] += 1
                else:
                    missed.append(f"{planted.kind} {planted.text[:12]}… beside {name}")
    texts = list(harmless())
    wrong = [f"{kind} in {text[:60]!r}" for text in texts for kind, _ in scan_text(text)]
    found = {name: (count[0], count[1]) for name, count in counts.items()}
    return Measured(found, missed, len(texts), wrong)


def is_found(planted: Planted, beside: str) -> bool:
    """Whether a value is found as its kind; a mark beside it may be taken for a part of it."""
    is_escaped = beside.startswith(("spelled-out", "JSON"))
    text = planted.text.replace("\n", "\\n") if is_escaped else planted.text
    return any(
        kind == planted.kind
        and value.startswith(planted.value)
        and len(value) < len(planted.value) + 3
        for kind, value in scan_text(AROUND[beside].format(text))
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
