"""The selection: which labelled rows make up a dataset, by the paper's filters.

One rule a file; `rules.py` lists them. What they let pass is the shortlist, and of it the longest
rows, or those that fill a mix, are kept. All of it is a pure function of labels.
"""
