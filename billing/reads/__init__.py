"""Reads: what is told of accounts, shards and prices once it is written; questions to one shard, and their answers.

Must not know connections: `billing.adapters` asks the shards.
"""
