from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from billing.config.api_settings import Api
from billing.config.settings import Metrics, Rules, Settings, Shard, Sharding, load, shard_map
from billing.config.source_settings import FileSource, GeneratorSource, KafkaSource
from billing.config.store_url import ClientCertificate, MysqlUrl, SqliteUrl
from billing.errors import SettingsError
from billing.limits import Limits
from sharding.shardmap import ShardMap
from tests.certificates import Authority

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


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty folder, so that errors name files as short as users do."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def loaded(text: str, environ: dict[str, str] | None = None) -> Settings:
    Path("billing.toml").write_text(text)
    return load(Path("billing.toml"), environ or {})


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


SOURCES = [
    (
        (
            'kind = "kafka"\nbootstrap = "a:1,[::1]:2"\ntopic = "t"\ngroup = "g"\nstart = "earliest"\n'
            '[source.options]\nsecurity.protocol = "SSL"\n"queued.min.messages" = 1000\nenable.ssl.x = true\n'
        ),
        KafkaSource(
            "a:1,[::1]:2",
            "t",
            "g",
            "earliest",
            {"security.protocol": "SSL", "queued.min.messages": 1000, "enable.ssl.x": True},
        ),
    ),
    ('kind = "file"\npath = "events.jsonl.gz"\n', FileSource(Path("events.jsonl.gz"))),
    ('kind = "generator"\nmodel = "hot-shard"\nevents = 10\n', GeneratorSource("hot-shard", 10)),
    (
        (
            'kind = "generator"\nmodel = "uniform"\nevents = 1\nseed = 0\nfamily = "llm"\n'
            "duplicates = 0.05\nmalformed = 0.01\nlate = 1\nout_of_order = 0.5\n"
        ),
        GeneratorSource("uniform", 1, 0, "llm", 0.05, 0.01, 1.0, 0.5),
    ),
]


@pytest.mark.parametrize(("source", "expected"), SOURCES)
def test_kinds_of_source(source: str, expected: object) -> None:
    """A source would be read with other parameters than were written."""
    settings = loaded(GOOD.replace(GOOD[len("[source]\n") : GOOD.index("\n[[")], source, 1))
    assert settings.source == expected


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


URL = "mysql://user@host:port/database or sqlite:///path"
KEYS = (
    "batch_events_max, batch_bytes_max, poll_events_max, buffer_events_max, buffer_bytes_max, waiting_events_max, "
    "flush_interval_ms, "
    "idle_advance_ms, detach_after_ms, retry_backoff_min_ms, retry_backoff_max_ms, lock_wait_seconds, "
    "connect_timeout_ms, apply_timeout_ms, catchup_readers_max, graceful_stop_ms, quarantine_payload_bytes_max"
)
BATCH = "batch_events_max = 2_000"
# what is replaced in the good file, by what, and the full error after "billing.toml:"
BAD = [
    (BATCH, "batch_events_max = -5", "20: limits.batch_events_max: -5 is below 1; write a number from 1 to 100000"),
    (
        BATCH,
        "batch_events_max = 0x1_0000_0000_0000_0000_0000",
        "20: limits.batch_events_max: a number of more than 18 digits is above 100000; write a number from 1 to 100000",
    ),
    (
        BATCH,
        "batch_events_max = 1.5",
        "20: limits.batch_events_max: 1.5 is not a whole number; write a number from 1 to 100000",
    ),
    (
        BATCH,
        "batch_events_max = true",
        "20: limits.batch_events_max: true is not a whole number; write a number from 1 to 100000",
    ),
    (
        BATCH,
        'batch_events_max = "5000"',
        '20: limits.batch_events_max: "5000" is not a whole number; write a number from 1 to 100000',
    ),
    (
        BATCH,
        "batch_events_max = [5000]",
        "20: limits.batch_events_max: a list is not a whole number; write a number from 1 to 100000",
    ),
    (BATCH, "batch_event_max = 5", "20: limits.batch_event_max: unknown key; did you mean batch_events_max?"),
    (BATCH, "zzz = 5", f"20: limits.zzz: unknown key; write {KEYS}"),
    (
        BATCH,
        "batch_events_max = 60_000",
        (
            "20: limits.batch_events_max: 60000 is too large for limits.buffer_events_max = 20000: a buffer holds at "
            "least one batch; write at most 20000"
        ),
    ),
    (
        BATCH,
        "buffer_events_max = 9_999",
        (
            "20: limits.buffer_events_max: 9999 is too small for limits.poll_events_max = 10000: all events of one "
            "poll may be for one shard; write at least 10000"
        ),
    ),
    (
        BATCH,
        "buffer_bytes_max = 1_000_000",
        (
            "20: limits.buffer_bytes_max: 1000000 is too small for limits.batch_bytes_max = 3500000: a buffer holds at "
            "least one batch; write at least 3500000"
        ),
    ),
    (
        BATCH,
        "batch_bytes_max = 4_194_304",
        "20: limits.batch_bytes_max: 4194304 is above 4000000; write a number from 262144 to 4000000",
    ),
    (
        BATCH,
        "batch_bytes_max = 300_000\nquarantine_payload_bytes_max = 200_000",
        (
            "20: limits.batch_bytes_max: 300000 is too small for limits.quarantine_payload_bytes_max = 200000: a "
            "payload takes twice its size in a packet; write at least 400000"
        ),
    ),
    (
        BATCH,
        "retry_backoff_min_ms = 6000",
        (
            "20: limits.retry_backoff_min_ms: 6000 is too large for limits.retry_backoff_max_ms = 5000: the first "
            "retry is the quickest; write at most 5000"
        ),
    ),
    (
        BATCH,
        "flush_interval_ms = 2000",
        (
            "20: limits.flush_interval_ms: 2000 is too large for limits.idle_advance_ms = 1000: an idle shard writes "
            "less often than a busy one; write at most 1000"
        ),
    ),
    (
        BATCH,
        "lock_wait_seconds = 31",
        (
            "20: limits.lock_wait_seconds: 31 is too large for limits.apply_timeout_ms = 30000: the server gives a "
            "lock up before the worker gives the server up; write at most 30"
        ),
    ),
    ("[limits]", "[limit]", "19: limit: unknown key; did you mean limits?"),
    ("[limits]", "[[limits]]", "19: limits: a list is not a table; write [limits]"),
    (
        "[limits]",
        "[metrics]\nport = 70_000\n[limits]",
        "20: metrics.port: 70000 is above 65535; write a number from 0 to 65535",
    ),
    (
        "[limits]",
        '[metrics]\nhost = "all of them"\n[limits]',
        '20: metrics.host: "all of them" is not allowed; write an address to listen on, as 0.0.0.0',
    ),
    ("[limits]", "[sharding]\nmap = 7\n[limits]", "20: sharding.map: 7 is not text; write a path in quotes"),
    ('[rules]\nbook = "book.yaml"', "", " rules.book: is missing; write the path of a rulebook"),
    ('book = "book.yaml"', "", "16: rules.book: is missing; write the path of a rulebook"),
    ('"book.yaml"', '" "', "17: rules.book: is empty; write a path"),
    ('"book.yaml"', '"a\\u0000b"', "17: rules.book: has a NUL character; write a path"),
    ('"book.yaml"', "12", "17: rules.book: 12 is not text; write a path in quotes"),
    ('kind = "kafka"', "", '1: source.kind: is missing; write "kafka" or "file" or "generator"'),
    ('"kafka"', '"kafak"', '2: source.kind: "kafak" is not known; did you mean kafka?'),
    ('"kafka"', '"sqs"', '2: source.kind: "sqs" is not known; write kafka, file, generator'),
    ('"kafka"', "5", "2: source.kind: 5 is not known; write kafka, file, generator"),
    ('"kafka"', '"file"', '3: source.bootstrap: is not a key of kind = "file"; remove it, or write one of path'),
    ('bootstrap = "127.0.0.1:9092"\n', "", "1: source.bootstrap: is missing; write host:port"),
    (
        '"127.0.0.1:9092"',
        '"127.0.0.1"',
        '3: source.bootstrap: "127.0.0.1" is not allowed; write host:port, or several with commas',
    ),
    (
        '"usage"',
        '"usage events"',
        '4: source.topic: "usage events" is not allowed; write 1 to 249 of A-Z a-z 0-9 . _ -',
    ),
    ('group = "billing"', 'grupp = "billing"', "5: source.grupp: unknown key; did you mean group?"),
    ('"billing"\n', '"billing"\nstart = "latest"\n', '6: source.start: "latest" is not known; write zero, earliest'),
    ('"billing"\n', '"billing"\noptions = "x"\n', '6: source.options: "x" is not a table; write [source.options]'),
    (
        '"billing"\n',
        '"billing"\noptions = {"isolation.level" = "x"}\n',
        "6: source.options.isolation.level: the worker sets this itself, because exactly-once rests on it; remove it",
    ),
    (
        '"billing"\n',
        '"billing"\noptions.group.id = "x"\n',
        "6: source.options.group.id: the worker sets this itself, because exactly-once rests on it; remove it",
    ),
    (
        '"billing"\n',
        '"billing"\noptions.a = 1.5\n',
        "6: source.options.a: is not text, a whole number, true or false; write one of these",
    ),
    (
        '"billing"\n',
        '"billing"\npassword_file = "x"\noptions = {"sasl.password" = "y"}\n',
        "6: source.password_file: sasl.password is set in options too; keep one of them",
    ),
    (
        '"billing"\n',
        '"billing"\npassword_file = "nothing.secret"\n',
        (
            "6: source.password_file: nothing.secret: cannot be read (No such file or directory); "
            "name a file with a password"
        ),
    ),
    (
        '"billing"\n',
        '"billing"\npassword_file = "empty.secret"\n',
        "6: source.password_file: empty.secret is empty; write the password into it",
    ),
    (
        "[source]",
        "x = 1\n[source]",
        "1: x: unknown key; write source, shards, rules, sharding, limits, metrics, api, database",
    ),
    ("[[shards]]", "[shards]", "12: column 9: is not TOML: Cannot overwrite a value; correct the syntax"),
    (GOOD[GOOD.index("[[") : GOOD.index("[rules]")], "", " shards: is missing; write [[shards]] with name and writer"),
    (
        GOOD[GOOD.index("[[") : GOOD.index("[rules]")],
        "[shards]\n",
        "7: shards: a table is not a list of tables; write [[shards]]",
    ),
    ('name = "shard-1"\n', "", "12: shards[1].name: is missing; write a name"),
    (
        '"shard-1"',
        '"shard 1"',
        (
            '13: shards[1].name: "shard 1" is not allowed; write a name: 1 to 64 of A-Z a-z 0-9 . _ -, '
            "a letter or digit first"
        ),
    ),
    ('"shard-1"', '"shard-0"', '13: shards[1].name: "shard-0" is another shard\'s name too; give each its own'),
    ('writer = "sqlite:///data/shard-1.db"', "", f"12: shards[1].writer: is missing; write {URL}"),
    ('"sqlite:///data/shard-1.db"', "5", f"14: shards[1].writer: 5 is not text; write {URL} in quotes"),
    (
        '"sqlite:///data/shard-1.db"',
        '"postgres://u:s3cret@h/d"',
        f"14: shards[1].writer: is not the URL of a store; write {URL}",
    ),
    (
        '"sqlite:///data/shard-1.db"',
        '"mysql://else:s3cret@127.0.0.1:3307/shard_0"',
        "14: shards[1].writer: is the store of shard-0 too; give each shard its own database",
    ),
    (
        '"sqlite:///data/shard-1.db"',
        '"sqlite:///a.db"\npassword_file = "a.secret"',
        "14: shards[1].writer: is a file, which has no password; remove password_file",
    ),
    (
        '["mysql://billing:s3cret@127.0.0.1:3308/shard_0"]',
        '"mysql://billing:s3cret@127.0.0.1:3308/shard_0"',
        "10: shards[0].readers: is not a list; write [URL, ...]",
    ),
    (
        '["mysql://billing:s3cret@127.0.0.1:3308/shard_0"]',
        '["mysql://u:s3cret@h/d", "mysql://u:s3cret@h"]',
        "10: shards[0].readers[1]: has no proper database name; write 1 to 64 of A-Z a-z 0-9 _ $ - after the host",
    ),
    (
        '["mysql://billing:s3cret@127.0.0.1:3308/shard_0"]',
        '["sqlite:///r.db"]',
        "10: shards[0].readers[0]: is another kind of store than the writer; name a reader of the same cluster",
    ),
    (
        'name = "shard-0"',
        'name = "shard-0"\npassword = "s3cret"',
        "9: shards[0].password: unknown key; did you mean password_file?",
    ),
    (
        'name = "shard-0"',
        'name = "shard-0"\npassword_file = "a.secret"',
        "10: shards[0].writer: has a password, and password_file has one too; keep one of them",
    ),
    ('"book.yaml"', "book.yaml", "17: column 8: is not TOML: Invalid value; correct the syntax"),
    ('"book.yaml"', '"book.yaml', "17: column 18: is not TOML: Illegal character '\\n'; correct the syntax"),
    ("[limits]", "[rules]", "19: column 7: is not TOML: Cannot declare ('rules',) twice; correct the syntax"),
    (BATCH, "batch_events_max = [", " is not TOML: Invalid value (at end of document); correct the syntax"),
]


@pytest.mark.parametrize(("good", "bad", "error"), BAD)
def test_errors_name_file_line_key_and_remedy(folder: Path, good: str, bad: str, error: str) -> None:
    """The person who wrote the file would have to search for the mistake, or the worker would start with it."""
    (folder / "a.secret").write_text("x")
    (folder / "empty.secret").write_text("\n")
    assert good in GOOD
    with pytest.raises(SettingsError) as caught:
        loaded(GOOD.replace(good, bad, 1))
    assert str(caught.value) == f"billing.toml:{error}"
    assert "s3cret" not in str(caught.value)
    assert "\n" not in str(caught.value)


BAD_VARIABLES = [
    ({"LIMITS_BATCH_EVENTS_MAX": "-5"}, "LIMITS_BATCH_EVENTS_MAX: -5 is below 1; write a number from 1 to 100000"),
    (
        {"LIMITS_BATCH_EVENTS_MAX": "5e3"},
        'LIMITS_BATCH_EVENTS_MAX: "5e3" is not a whole number; write a number from 1 to 100000',
    ),
    (
        {"LIMITS_BATCH_EVENTS_MAX": ""},
        'LIMITS_BATCH_EVENTS_MAX: "" is not a whole number; write a number from 1 to 100000',
    ),
    (
        {"LIMITS_BATCH_EVENT_MAX": "5"},
        "LIMITS_BATCH_EVENT_MAX: unknown variable; did you mean BILLING_LIMITS_BATCH_EVENTS_MAX?",
    ),
    (
        {"LIMITS_BATCH_EVENTS_MAX": "60000"},
        (
            "LIMITS_BATCH_EVENTS_MAX: 60000 is too large for limits.buffer_events_max = 20000: a buffer holds at least "
            "one batch; write at most 20000"
        ),
    ),
    (
        {"LIMIT_BATCH_EVENTS_MAX": "5"},
        "LIMIT_BATCH_EVENTS_MAX: unknown variable; did you mean BILLING_LIMITS_BATCH_EVENTS_MAX?",
    ),
    (
        {"SOURCE_BOOTSTRAP": "nowhere"},
        'SOURCE_BOOTSTRAP: "nowhere" is not allowed; write host:port, or several with commas',
    ),
    (
        {"SOURCE_OPTIONS_GROUP_ID": "x"},
        "SOURCE_OPTIONS_GROUP_ID: the worker sets this itself, because exactly-once rests on it; remove it",
    ),
    (
        {"SOURCE_EVENTS": "5"},
        (
            'SOURCE_EVENTS: is not a key of kind = "kafka"; remove it, or write one of bootstrap, topic, '
            "group, start, options, password_file"
        ),
    ),
    ({"RULES_BOOK": " "}, "RULES_BOOK: is empty; write a path"),
    (
        {"SHARDS_0_WRITER": "mysql://u:s3cret@h"},
        ("SHARDS_0_WRITER: has no proper database name; write 1 to 64 of A-Z a-z 0-9 _ $ - after the host"),
    ),
    (
        {"SHARDS_0_READERS": "mysql://u@h/d,"},
        ("SHARDS_0_READERS[1]: is empty; write mysql://user@host:port/database or sqlite:///path"),
    ),
    ({"SHARDS_0_WRITTER": "x"}, "SHARDS_0_WRITTER: unknown variable; did you mean BILLING_SHARDS_0_WRITER?"),
    ({"SHARDS_WRITER": "x"}, "SHARDS_WRITER: has no number; write BILLING_SHARDS_0_NAME"),
    ({"SHARDS_01_NAME": "x"}, "SHARDS_01_NAME: has no number; write BILLING_SHARDS_0_NAME"),
    ({"SHARDS_9999_NAME": "x"}, "SHARDS_9999_NAME: has no number; write BILLING_SHARDS_0_NAME"),
    ({"SHARDS_3_NAME": "x"}, "SHARDS_3_NAME: there is no shards[2] yet; number the variables from 2 on"),
]


@pytest.mark.parametrize(("environ", "error"), BAD_VARIABLES)
def test_errors_name_the_variable(environ: dict[str, str], error: str) -> None:
    """A misspelt variable would be ignored without a word, or blamed on a line of the file."""
    with pytest.raises(SettingsError) as caught:
        loaded(GOOD, {f"BILLING_{name}": text for name, text in environ.items()})
    assert str(caught.value) == f"BILLING_{error}"


def test_a_shard_of_the_environment_lacks_nothing() -> None:
    """A shard without a writer would be discovered when its first event comes."""
    with pytest.raises(SettingsError) as caught:
        loaded(GOOD, {"BILLING_SHARDS_2_NAME": "shard-2"})
    assert str(caught.value) == f"billing.toml: shards[2].writer: is missing; write {URL}"


GENERATOR = '[source]\nkind = "generator"\nmodel = "uniform"\nevents = 10\n' + GOOD[GOOD.index("[[") :]
BAD_GENERATORS = [
    ('"uniform"', '"unifrom"', '3: source.model: "unifrom" is not known; did you mean uniform?'),
    ("events = 10", "events = 0", "4: source.events: 0 is below 1; write a number from 1 to 1000000000000"),
    ("events = 10\n", "", "1: source.events: is missing; write how many events"),
    ('model = "uniform"\n', "", "1: source.model: is missing; write one of uniform, skewed, hot-shard"),
    ("events", "late = 1.01\nevents", "4: source.late: 1.01 is not a share; write a number from 0 to 1"),
    ("events", "late = nan\nevents", "4: source.late: nan is not a share; write a number from 0 to 1"),
    ("events", 'late = "5%"\nevents', '4: source.late: "5%" is not a share; write a number from 0 to 1'),
    ("events", 'family = "iot"\nevents', '4: source.family: "iot" is not known; write telecom, llm'),
    ("events", "seed = -1\nevents", "4: source.seed: -1 is below 0; write a number from 0 to 4294967295"),
]


@pytest.mark.parametrize(("good", "bad", "error"), BAD_GENERATORS)
def test_errors_of_generators(good: str, bad: str, error: str) -> None:
    """A load test would run with another load than was meant."""
    with pytest.raises(SettingsError) as caught:
        loaded(GENERATOR.replace(good, bad, 1))
    assert str(caught.value) == f"billing.toml:{error}"


def test_shares_come_from_the_environment_too() -> None:
    """A load test in a container could not have duplicates."""
    settings = loaded(GENERATOR, {"BILLING_SOURCE_DUPLICATES": "0.05", "BILLING_SOURCE_LATE": ".5"})
    assert settings.source == GeneratorSource("uniform", 10, duplicates=0.05, late=0.5)


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


def test_without_a_map_the_slots_are_divided_evenly() -> None:
    """A new deployment would need a map file before its first event."""
    assert shard_map(loaded(GOOD)) == ShardMap.even(["shard-0", "shard-1"])


MAP = "version: 2\nshards: [shard-1, shard-0]\nranges:\n- {start: 0, stop: 65536, shard: shard-0}\n"


def test_the_map_is_read_and_keeps_its_own_order(folder: Path) -> None:
    """Shard indexes of the map would be taken for positions in the settings: charges on the wrong shard."""
    (folder / "map.yaml").write_text(MAP)
    assert shard_map(loaded(GOOD + '[sharding]\nmap = "map.yaml"\n')).shards == ("shard-1", "shard-0")


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (
            MAP.replace("[shard-1,", "[shard-1, shard-9,"),
            'map.yaml: shards: "shard-9" is missing in [[shards]]; add its writer there',
        ),
        (MAP.replace("[shard-1,", "["), 'map.yaml: shards: "shard-1" is missing in the map; add it to shards'),
        (
            MAP.replace("65536", "65535"),
            "map.yaml:4: ranges[0].stop: is 65535, so slot 65535 has no shard; write 65536",
        ),
        (None, "map.yaml: cannot be read (No such file or directory); name a shard map file"),
    ],
)
def test_a_map_that_does_not_fit_is_refused(folder: Path, text: str | None, error: str) -> None:
    """A shard of the map would have no database, or a database would stay empty without anybody knowing."""
    if text is not None:
        (folder / "map.yaml").write_text(text)
    with pytest.raises(SettingsError) as caught:
        shard_map(loaded(GOOD + '[sharding]\nmap = "map.yaml"\n'))
    assert str(caught.value) == error


DATABASE = """
[database]
worker = "b_worker"
worker_password_file = "worker.secret"
reader = "b_reader"
migrator = "b_migrator"
"""
USERLESS = GOOD.replace("billing:s3cret@", "")


def test_roles_enter_the_same_databases_as_other_users(folder: Path) -> None:
    """A worker would enter as who may drop tables, or readers as who may change balances."""
    (folder / "worker.secret").write_text("w0rk\n")
    environ = {"BILLING_DATABASE_ADMIN": "root", "BILLING_DATABASE_READER_PASSWORD": "r3ad"}
    settings = loaded(USERLESS + DATABASE, environ)
    shard, file = settings.shards
    assert isinstance(shard.writer, MysqlUrl)
    assert (shard.writer.user, shard.writer.password, shard.writer.port) == ("b_worker", "w0rk", 3307)
    assert [str(url) for url in (shard.primary, *shard.readers, shard.migrator)] == [
        "mysql://b_reader@127.0.0.1:3307/shard_0",
        "mysql://b_reader@127.0.0.1:3308/shard_0",
        "mysql://b_migrator@127.0.0.1:3307/shard_0",
    ]
    assert isinstance(shard.primary, MysqlUrl)
    assert (shard.primary.password, shard.primary.lacking) == ("r3ad", "")
    assert isinstance(shard.migrator, MysqlUrl)
    assert shard.migrator.lacking == (
        "billing.toml:22: database.migrator_password_file: is missing; "
        "name it, or set BILLING_DATABASE_MIGRATOR_PASSWORD"
    )
    assert file.writer == file.primary == file.migrator == SqliteUrl(Path("data/shard-1.db"))
    assert "w0rk" not in repr(settings) + str(settings)
    assert "r3ad" not in repr(settings) + str(settings)


BAD_DATABASE = [
    (
        GOOD + DATABASE,
        "9: shards[0].writer: has a user, and [database] names the users; write mysql://host:port/database",
    ),
    (
        USERLESS + DATABASE.replace('migrator = "b_migrator"', ""),
        "22: database.migrator: is missing; write the name of the migrator's user, or remove worker",
    ),
    (
        USERLESS + DATABASE.replace("b_reader", "b_worker"),
        "25: database.reader: is the user of worker too; each has other rights, so give each its own",
    ),
    (
        USERLESS + DATABASE.replace("b_reader", "b'reader"),
        '25: database.reader: "b\'reader" is not allowed; write a user: 1 to 32 of A-Z a-z 0-9 _ . -',
    ),
    (
        USERLESS + DATABASE + 'reader_password = "s3cret"',
        (
            "27: database.reader_password: a password must not stand here; name its file in reader_password_file, "
            "or set BILLING_DATABASE_READER_PASSWORD"
        ),
    ),
    (
        USERLESS.replace('"shard-0"', '"shard-0"\npassword_file = "a.secret"') + DATABASE,
        "9: shards[0].password_file: [database] names the users, and where their passwords are; remove it",
    ),
    (
        GOOD + "[database]\nrequire_tls = true",
        "22: database.require_tls: nobody could enter without database.tls_ca; name the authorities there",
    ),
    (
        GOOD + '[database]\nrequire_tls = "yes"',
        '22: database.require_tls: "yes" is neither true nor false; write one of them',
    ),
    (
        GOOD + '[database]\ntls_ca = "none.pem"',
        "22: database.tls_ca: none.pem cannot be read (No such file or directory); name a PEM file of authorities",
    ),
    (
        GOOD + '[database]\ntls_ca = "billing.toml"',
        "22: database.tls_ca: billing.toml has no certificate in it; name a PEM file of authorities",
    ),
    (
        GOOD + '[database]\ntls_certificate = "a.crt"',
        "21: database.tls_key: is missing; write the path of a PEM file with the certificate's key",
    ),
    (
        GOOD + '[database]\ntls_certificate = "a.crt"\ntls_key = "a.key"',
        "22: database.tls_certificate: is shown encrypted only; name the servers' authorities in database.tls_ca",
    ),
    (
        GOOD + "[database]\nrequire_certificate = true",
        "22: database.require_certificate: nobody could enter without database.tls_certificate; name it there",
    ),
    (
        GOOD + '[database]\nusers_host = "a b"',
        '22: database.users_host: "a b" is not allowed; write a host, or % for any',
    ),
]


@pytest.mark.parametrize(("text", "sentence"), BAD_DATABASE)
def test_a_wrong_database_section_is_told(text: str, sentence: str) -> None:
    """Whoever sets users up would be left with one who may do everything, or with connections that nobody encrypts."""
    with pytest.raises(SettingsError) as caught:
        loaded(text)
    assert str(caught.value) == f"billing.toml:{sentence}"


def test_a_certificate_that_cannot_be_shown_is_told(folder: Path) -> None:
    """A worker would start, and be refused by every shard; or ask a terminal that it has not for the key's password."""
    authority = Authority(folder)
    chain, key = authority.issue("client")
    other = authority.issue("other")[1]
    private = load_pem_private_key(key.read_bytes(), None)
    locked = folder / "locked.key"
    locked.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")))
    text = GOOD + f'[database]\ntls_ca = "{authority.file}"\ntls_certificate = "{chain}"\n'
    assert loaded(text + f'tls_key = "{key}"').database.tls_client == ClientCertificate(chain, key)
    for wrong in (other, locked, folder / "none.key"):
        with pytest.raises(SettingsError) as caught:
            loaded(text + f'tls_key = "{wrong}"')
        told = f"billing.toml:23: database.tls_certificate: {chain} with key {wrong} cannot be used ("
        assert str(caught.value).startswith(told)
