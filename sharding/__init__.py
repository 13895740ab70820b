"""Sharding: account -> slot -> range or lookup -> shard.

The third step of the path: routes columns of accounts to shards. A leaf: knows nothing of prices, logs or stores.
`key` hashes, `shardmap` says which shard holds what, `mapfile` reads a map from YAML, `route` applies it to columns.
"""
