"""The release: a folder of Parquet shards, a dataset card, statistics and a manifest."""
