"""Where events come from, in a settings file."""

from pathlib import Path

import pytest

from billing.config.source_settings import FileSource, GeneratorSource, KafkaSource
from billing.errors import SettingsError
from tests.settings_files import GOOD, loaded

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
