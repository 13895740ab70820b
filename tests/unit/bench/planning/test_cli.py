"""The command `billing-bench plan`, where it refuses."""

import msgspec
import pytest

from bench.cli import main
from tests.planned import capacity, measurements


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--per-day", "0"], "is no load"),
        (["--per-day", "1e9", "--headroom", "0.5"], "write 1 or more"),
        (["--per-day", "1e9", "--exponent", "-1"], "--exponent"),
        (["--per-day", "1e9", "--prices", "no.yaml"], "no.yaml"),
        (["--per-day", "1e9", "--sample", "no.jsonl"], "no.jsonl"),
        (["--per-day", "1e9", "--map", "no-map.yaml"], "no-map.yaml"),
        (["--per-day", "1e9", "--instance", "db.none"], "db.r7g.large"),
        (["--per-day", "1e9", "no.json"], "no.json"),
        (["--per-day", "1e9", "--measure", "new.json"], "with --measure nothing is read"),
        (["--per-day", "1e9", "--hot-share", "1", "--accounts", "9", "--peak", "1e7", "--no-spread"], "possible with"),
        (["--per-day", "1e9", "--empty-headroom"], "--empty-headroom"),
        (["--per-day", "1e9", "--writers", "0"], "--writers"),
        ([], "--per-day"),
    ],
)
def test_an_impossible_plan_is_one_line_and_exit_code_2(tmp_path, monkeypatch, capsys, options, words):
    """Else an operator would not learn what would make it possible."""
    figures = tmp_path / "capacity.json"
    figures.write_bytes(msgspec.json.encode(measurements(capacity())))
    monkeypatch.setattr("sys.argv", ["billing-bench", "plan", str(figures), *options])
    with pytest.raises(SystemExit) as caught:
        main()
    said = capsys.readouterr()
    assert (caught.value.code, said.out, len(said.err.splitlines())) == (2, "", 1), said
    assert words in said.err
