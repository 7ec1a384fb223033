"""Checkpoints: what survives the death of a runner, at any URL that fsspec knows.

    state = CheckpointStore("s3://bucket/magpie", "tester--magpie-smol")
    with state.lease(say):
        found = state.restore(folder, tick, first_row)
        with state.keeping(folder, tick, first_row, say=say):
            ...  # generate and judge
        ...  # publish
        state.clear(tick)

Below the URL lie

    <name>/lease.json                                     who is at work
    <name>/<tick>/<journal>/<number>-<writer>.segment     what one save added

A **segment** is immutable: the turns, labels, sessions and facts that came into the journal's files
(`first.db`, `later-….db`, `labels/….db`) since the save before; a large save makes several. Only
rows from the tick's first row on are kept, so a checkpoint weighs what its own rows weigh;
embeddings are made again. Numbers go on from the highest that the runner had seen, and the writer's
id is random: two runners of one tick overwrite nothing.

**Restoring** merges all segments, in their order, into the journal on this machine. A turn or label
that is there stays; of two the first wins. Words come with what rests on them: a later turn, or a
label, is merged only with the very words that it follows on or is of, since another runner may have
drawn other words for the row. A torn or foreign segment is refused by name; what is left of a write
that was cut off (`.segment.new`) is passed over.

**File systems.** Folders, s3fs, gcsfs and adlfs are used as their sources say: object stores put an
object whole; a folder's files are renamed into place. `hf://buckets/NS/NAME/path` was read in
huggingface_hub 2.4.0 and not run against the Hub: `HfFileSystem` reads, lists, writes (one upload a
file, whole) and removes there; it has no exclusive creation (fsspec looks, then writes), so a lease
is written, left to settle and read back; its listings are cached, so they are dropped before each
look. In a repository (`hf://datasets/…`) every save would be a commit, so it is refused.
"""
