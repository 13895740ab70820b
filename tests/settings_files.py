"""A good settings file, and settings of a text like it."""

from pathlib import Path

from billing.config.settings import Settings, load

GOOD = """\
[source]
kind = "kafka"
bootstrap = "127.0.0.1:9092"
topic = "usage"
group = "billing"

[[shards]]
name = "shard-0"
writer = "mysql://billing:s3cret@127.0.0.1:3307/shard_0"
readers = ["mysql://billing:s3cret@127.0.0.1:3308/shard_0"]

[[shards]]
name = "shard-1"
writer = "sqlite:///data/shard-1.db"

[rules]
book = "book.yaml"

[limits]
batch_events_max = 2_000
"""
URL = "mysql://user@host:port/database or sqlite:///path"


def loaded(text: str, environ: dict[str, str] | None = None) -> Settings:
    """Load a settings file of this text, which is written where the test works."""
    Path("billing.toml").write_text(text)
    return load(Path("billing.toml"), environ or {})
