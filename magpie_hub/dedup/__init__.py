"""Near-duplicates among instructions: embeddings of their texts, a store for these, and the search.

The meaning of a near-duplicate is Magpie's (its similarity step and the filter of its released
sets): squared L2 distance of unit vectors under 0.05, which is a cosine over 0.975.
"""
