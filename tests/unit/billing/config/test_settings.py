"""Settings, of a file and of the environment."""

from pathlib import Path

import pytest

from billing.config.api_settings import Api
from billing.config.settings import Metrics, Rules, Settings, Shard, Sharding, load
from billing.config.source_settings import KafkaSource
from billing.config.store_url import MysqlUrl, SqliteUrl
from billing.errors import SettingsError
from billing.limits import Limits
from tests.settings_files import GOOD, URL, loaded

SETTINGS = Settings(
    KafkaSource("127.0.0.1:9092", "usage", "billing"),
    (
        Shard(
            "shard-0",
            MysqlUrl("127.0.0.1", 3307, "billing", "s3cret", "shard_0"),
            (MysqlUrl("127.0.0.1", 3308, "billing", "s3cret", "shard_0"),),
        ),
        Shard("shard-1", SqliteUrl(Path("data/shard-1.db")), (SqliteUrl(Path("data/shard-1.db")),)),
    ),
    Rules(Path("book.yaml")),
    Sharding(None),
    Limits(batch_events_max=2_000),
    Metrics(0),
    Api(Path("keys.db")),
)


def test_a_file_becomes_settings() -> None:
    """The worker would bill another log, or write to another database, than the file says."""
    assert loaded(GOOD) == SETTINGS


def test_relative_paths_start_at_the_files_folder(folder: Path) -> None:
    """A service started from another folder would create empty databases there."""
    (folder / "etc").mkdir()
    (folder / "etc/billing.toml").write_text(GOOD + '[sharding]\nmap = "/maps/map.yaml"\n')
    settings = load(folder / "etc/billing.toml", {})
    assert settings.shards[1].writer == SqliteUrl(folder / "etc/data/shard-1.db")
    assert settings.rules.book == folder / "etc/book.yaml"
    assert settings.sharding.map == Path("/maps/map.yaml")


def test_every_key_can_come_from_the_environment() -> None:
    """A container could not be configured without writing a file into it."""
    environ = {
        "BILLING_SOURCE_KIND": "kafka",
        "BILLING_SOURCE_BOOTSTRAP": "127.0.0.1:9092",
        "BILLING_SOURCE_TOPIC": "usage",
        "BILLING_SOURCE_GROUP": "billing",
        "BILLING_SHARDS_0_NAME": "shard-0",
        "BILLING_SHARDS_0_WRITER": "mysql://billing:s3cret@127.0.0.1:3307/shard_0",
        "BILLING_SHARDS_0_READERS": "mysql://billing:s3cret@127.0.0.1:3308/shard_0",
        "BILLING_SHARDS_1_WRITER": "sqlite:///data/shard-1.db",
        "BILLING_SHARDS_1_NAME": "shard-1",
        "BILLING_RULES_BOOK": "book.yaml",
        "BILLING_LIMITS_BATCH_EVENTS_MAX": " 2000 ",
        "BILLING_HOME": "/no/setting",
        "BILLING_SERVICE_HOST": "10.0.0.1",
        "PATH": "/bin",
    }
    assert loaded("", environ) == SETTINGS


def test_the_environment_overrides_the_file() -> None:
    """The same image would write to the test databases in production."""
    environ = {
        "BILLING_SOURCE_OPTIONS_SECURITY_PROTOCOL": "SASL_SSL",
        "BILLING_SOURCE_OPTIONS_SASL_PASSWORD": "s3cret",
        "BILLING_SHARDS_1_WRITER": "sqlite:///other.db",
        "BILLING_METRICS_PORT": "9100",
        "BILLING_METRICS_HOST": "0.0.0.0",
        "BILLING_SHARDING_MAP": "map.yaml",
        "BILLING_SHARDS_0_READERS": "mysql://u@r1/d,mysql://u@r2/d",
    }
    text = GOOD.replace('group = "billing"', 'group = "billing"\noptions = {"security.protocol" = "SSL", "x.y" = "z"}')
    settings = loaded(text, environ)
    assert isinstance(settings.source, KafkaSource)
    assert settings.source.options == {"security.protocol": "SASL_SSL", "sasl.password": "s3cret", "x.y": "z"}
    assert settings.shards[1].writer == SqliteUrl(Path("other.db"))
    assert [str(url) for url in settings.shards[0].readers] == ["mysql://u@r1:3306/d", "mysql://u@r2:3306/d"]
    assert settings.metrics == Metrics(9100, "0.0.0.0")
    assert settings.sharding.map == Path("map.yaml")


def test_passwords_come_from_files(folder: Path) -> None:
    """Secrets would have to stand in a file that everybody reads."""
    (folder / "db.secret").write_text("pa ss\r\n")
    (folder / "kafka.secret").write_text("kafka-pass")
    text = GOOD.replace(":s3cret", "").replace('name = "shard-0"', 'name = "shard-0"\npassword_file = "db.secret"')
    settings = loaded(text.replace("topic", 'password_file = "kafka.secret"\ntopic'))
    assert [url.password for url in (settings.shards[0].writer, *settings.shards[0].readers)] == ["pa ss", "pa ss"]
    assert isinstance(settings.source, KafkaSource)
    assert settings.source.options == {"sasl.password": "kafka-pass"}


def test_settings_show_no_secret() -> None:
    """A log line or a crash report would hold the keys of every database."""
    settings = loaded(GOOD, {"BILLING_SOURCE_OPTIONS_SASL_PASSWORD": "s3cret"})
    for shown in (repr(settings), str(settings), str(settings.shards[0].writer), repr(settings.source)):
        assert "s3cret" not in shown


def test_a_shard_of_the_environment_lacks_nothing() -> None:
    """A shard without a writer would be discovered when its first event comes."""
    with pytest.raises(SettingsError) as caught:
        loaded(GOOD, {"BILLING_SHARDS_2_NAME": "shard-2"})
    assert str(caught.value) == f"billing.toml: shards[2].writer: is missing; write {URL}"


def test_a_file_that_cannot_be_read_says_so(folder: Path) -> None:
    """The operator would get a traceback instead of the file's name."""
    (folder / "binary.toml").write_bytes(b"\xff\xfe")
    (folder / "huge.toml").write_text("#" * (1024 * 1024 + 1))
    (folder / "digits.toml").write_text("x = " + "1" * 5000)
    (folder / "deep.toml").write_text("x = " + "[" * 100_000)
    for name, sentence in (
        ("missing.toml", "cannot be read (No such file or directory); name a settings file"),
        (".", "cannot be read (Is a directory); name a settings file"),
        ("binary.toml", "is not UTF-8 text; name a settings file"),
        ("huge.toml", "is too large; a settings file has at most 1048576 bytes"),
    ):
        with pytest.raises(SettingsError) as caught:
            load(Path(name), {})
        assert str(caught.value) == f"{name}: {sentence}"
    for name in ("digits.toml", "deep.toml"):
        with pytest.raises(SettingsError, match=rf"^{name}: is not TOML: .*; correct the syntax$"):
            load(Path(name), {})
