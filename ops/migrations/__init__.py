"""Schema migrations, run on every shard by `billing init`."""
