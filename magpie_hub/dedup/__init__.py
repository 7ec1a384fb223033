"""Near-duplicates among instructions: vectors of their texts, a store for these, and the search.

    embedder = load_embedder(fetch(pin("sentence-transformers/all-mpnet-base-v2"), home))
    store = EmbeddingStore(folder, embedder.name, embedder.revision, embedder.dim)
    fresh = store.missing(row_ids)
    store.put(fresh, embedder.embed([texts[row_id] for row_id in fresh]))
    found = find_neighbors(row_ids, store.load(row_ids))
    kept = row_ids[found.keep]

The meaning of a near-duplicate is the published one (Magpie's similarity step and the filter of
its released sets): squared L2 distance of unit vectors under 0.05, that is a cosine over 0.975.
"""
