"""Numbers as a reader wants them: thousands apart, as many digits as mean something, units."""

from __future__ import annotations

NOTHING = "–"


def count(value: int | None) -> str:
    """A whole number: "1,234,567"; a dash for None."""
    return NOTHING if value is None else f"{value:,}"


def about(value: float) -> str:
    """A large number at three digits: "950", "14,500", "1.23 million", "2.4 billion"."""
    for unit, name in ((1e9, "billion"), (1e6, "million")):
        if value >= 0.9995 * unit:
            return f"{float(f'{value / unit:.3g}'):,g} {name}"
    return f"{float(f'{value:.3g}'):,.0f}"


def number(value: float | None) -> str:
    """A measured number, at three digits or four: "1,234", "153.2", "-10.45", "0.0213".

    Args:
        value: Any number; None gives a dash.
    """
    if value is None or value != value:
        return NOTHING
    size = abs(value)
    if size >= 1000 or value == int(value):
        return f"{value:,.0f}"
    if size >= 1:
        return f"{value:,.{1 if size >= 100 else 2}f}".rstrip("0").rstrip(".")
    return f"{value:.3g}"


def share(part: float, whole: float) -> str:
    """A part as a percentage, never rounded to nothing or everything: "12.3%", "<0.1%", ">99.9%".

    Args:
        part: The part.
        whole: What it is a part of; a dash if that is nothing.
    """
    if not whole:
        return NOTHING
    if not part:
        return "0%"
    percent = 100 * part / whole
    if 0 < percent < 0.1:
        return "<0.1%"
    if 99.9 < percent < 100:
        return ">99.9%"
    return f"{percent:.1f}%"


def size(value: int) -> str:
    """Bytes: "562.6 MB", as the Hub counts them (a megabyte is 10⁶ bytes)."""
    left = float(value)
    if left < 999.95:
        return f"{left:,.0f} bytes"
    for unit in ("kB", "MB"):
        left /= 1000
        if left < 999.95:
            return f"{left:,.1f} {unit}"
    return f"{left / 1000:,.1f} GB"


def duration(seconds: float) -> str:
    """A time, its parts kept on one line: "0.4 s", "45 s", "12 min", "3 h 20 min", "2 d 4 h"."""
    if seconds < 10:
        return _parts((f"{seconds:.1f}", "s"))
    if seconds < 120:
        return _parts((f"{seconds:.0f}", "s"))
    minutes = round(seconds / 60)
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return _parts((hours, "h"), (minutes, "min"))
    days, hours = divmod(hours, 24)
    return _parts((f"{days:,}", "d"), (hours, "h"))


def _parts(*parts: tuple[str | int, str]) -> str:
    return "\u00a0".join(f"{value}\u00a0{unit}" for value, unit in parts if value != 0)


def plural(value: int, one: str, many: str | None = None) -> str:
    """A number with its noun: "1 row", "2 rows"."""
    return f"{value:,} {one if value == 1 else many or one + 's'}"
