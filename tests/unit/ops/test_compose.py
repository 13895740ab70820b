import tomllib
from pathlib import Path

import yaml

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
