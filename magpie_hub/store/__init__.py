"""What lies on disk below `MAGPIE_HOME`: journals, labels, cached shards."""
