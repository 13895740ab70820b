import tomllib
from pathlib import Path

import yaml

from billing.config.settings import load

OPS = Path(__file__).parents[3] / "ops"


def test_the_example_configuration_names_what_compose_starts():
    """Else those who have Docker would start servers and be told that no shard can be reached."""
    compose = yaml.safe_load((OPS / "compose.yaml").read_text())["services"]
    config = tomllib.loads((OPS / "compose.toml").read_text())
    ports = {name: service["ports"][0] for name, service in compose.items() if name.startswith("shard-")}
    urls = {shard["name"]: shard["writer"] for shard in config["shards"]}
    assert len(ports) == 4
    assert ports == {
        name: f"{url.removeprefix('mysql://root@').removesuffix('/billing')}:3306" for name, url in urls.items()
    }
    assert compose["kafka"]["ports"] == [f"{config['source']['bootstrap']}:9092"]
    assert f"--topic={config['source']['topic']}" in compose["topic"]["command"]


def test_the_worker_of_compose_reaches_what_compose_starts():
    """Else `--profile worker` would start a worker that waits for ports of the host, which its container has not."""
    compose = yaml.safe_load((OPS / "compose.yaml").read_text())["services"]
    for name in ("init", "worker"):
        found = load(OPS / "compose.toml", compose[name]["environment"])
        assert [str(shard.writer) for shard in found.shards] == [
            f"mysql://root@{shard.name}:3306/billing" for shard in found.shards
        ]
        assert {url for shard in found.shards for url in shard.readers} == {shard.writer for shard in found.shards}
        assert {shard.name for shard in found.shards} <= compose.keys()
        assert found.source.bootstrap == "kafka:9094"
    assert "INTERNAL://kafka:9094" in compose["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"]
    assert compose["worker"]["ports"] == [f"127.0.0.1:{found.metrics.port}:{found.metrics.port}"]
    assert found.metrics.host == "0.0.0.0"
