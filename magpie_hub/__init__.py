"""Make and publish alignment data with the Magpie method.

    import magpie_hub

    magpie_hub.build("smol-mt", "out", rows=24)   # a release folder
    magpie_hub.iter_rows("smol", rows=8)          # its rows, as dicts
    magpie_hub.push("smol-mt", "out")             # the folder to the Hub, in one commit
    magpie_hub.variants()                         # what there is to build

`magpie_hub.api` has the other verbs of the command.

The same rows come from ``load_dataset("./builders/magpie", "smol-mt")`` and from the command
``magpie-hub build smol-mt``: all of them read and write one journal.
"""

# Imported when they are asked for: the command answers an interrupt from its first moment on.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from magpie_hub.api import Variant, build, card, check, iter_rows, push, variants, verify
    from magpie_hub.errors import MagpieError, RunError, UserError

__all__ = [
    "MagpieError",
    "RunError",
    "UserError",
    "Variant",
    "build",
    "card",
    "check",
    "iter_rows",
    "push",
    "variants",
    "verify",
]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{'errors' if 'Error' in name else 'api'}"), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
