"""What is wrong in a settings file or a variable, told in one line."""

from pathlib import Path

import pytest

from billing.errors import SettingsError
from tests.settings_files import GOOD, URL, loaded

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
