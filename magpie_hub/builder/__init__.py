"""The `datasets` plug-in: ``load_dataset("./builders/magpie", "pro-mt")`` with no import of ours.

A builder folder's README lists, for each config, a ``magpie://`` pattern and a recipe file. The
pattern matches nothing; resolving it makes fsspec import `magpie_hub.builder.fs` through its entry
point, which makes the builder in `magpie_hub.builder.magpie` known to `datasets`. The recipe file
is then a data file of a kind that this builder reads.
"""
