"""The drift gates: whether new rows are like what is published, before they join it.

Pure functions from two `stats.json`, that of the published release and that of the new rows alone
(docs/release.md), to an `DriftReport` of checks. One kind of check a file: `shares`, `duplicates`,
`mixes`, `lengths`, `means`, `floors`; `chance` holds the statistical tests.
"""
