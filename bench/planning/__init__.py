"""Planning: how many shards of which kind a load needs, by what one shard was measured to do."""
