"""Billing: bytes -> events -> charges -> shard batches -> transactions -> rows -> balances.

`event` decodes, `charge` prices, `batch` routes and folds, `upsert` plans the SQL, `adapters` apply it, `balance`
reads it back. `engine` decides what happens when, without doing I/O; `worker` does it.
"""
