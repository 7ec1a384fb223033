"""Make and publish alignment data with the Magpie method.

    import magpie_hub

    magpie_hub.build("smol-mt", "out", rows=24)   # a release folder
    magpie_hub.variants()                         # what there is to build

The same rows come from ``load_dataset("./builders/magpie", "smol-mt")`` and from the command
``magpie-hub build smol-mt``: all of them read and write one journal.
"""

from magpie_hub.api import Variant, build, variants
from magpie_hub.errors import MagpieError, RunError, UserError

__all__ = ["MagpieError", "RunError", "UserError", "Variant", "build", "variants"]
