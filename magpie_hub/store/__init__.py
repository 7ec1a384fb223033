"""Files below `MAGPIE_HOME`: journals, labels, cached shards."""
