"""Billing: bytes -> events -> charges -> shard batches -> transactions -> rows -> balances.

`event` decodes, `pricing` prices, `batch` routes, `fold` folds, `upsert` plans the SQL, `adapters` apply it, `reads`
has what is told of it. `engine` decides what happens when, without doing I/O; `worker` does it, as `config` says.
"""
