"""Commands of who writes prices: what they say about books, events and differences, and how they exit."""

import csv
import gzip
import io
import json
from pathlib import Path

import pytest

from tests.command import billing, deployment, event, write_book, write_events


def test_rules_check_prints_every_problem(tmp_path: Path) -> None:
    """Otherwise a book is corrected one run at a time."""
    write_book(tmp_path, {"sms": "0.0079"})
    good = billing("rules", "check", "book.yaml", folder=tmp_path)
    assert (good.code, good.out) == (
        0,
        "book.yaml: book test version 1 in USD: 1 rules in 1 groups, 2 rollups; no problem\n",
    )
    text = (tmp_path / "book.yaml").read_text()
    (tmp_path / "bad.yaml").write_text(text.replace("0.0079", "0,0079").replace("every: hour", "every: fortnight"))
    bad = billing("rules", "check", "book.yaml", "bad.yaml", folder=tmp_path)
    assert bad.code == 1
    problems = [line for line in bad.out.splitlines() if line.startswith("bad.yaml:")]
    assert len(problems) == 2
    assert '"0,0079"' in problems[0]
    assert "charges[0].rules[0].price.per_unit" in problems[0]


def test_warnings_fail_only_where_that_is_asked_for(tmp_path: Path) -> None:
    """Otherwise a harmless remark stops a release, or a pipeline that wants none lets it through."""
    write_book(tmp_path, {"sms": "0.0079"})
    path = tmp_path / "book.yaml"
    path.write_text(path.read_text().replace("[country]", "[country, carrier]"))
    said = (
        'book.yaml:5: warning: dimensions: no rollup and no rule uses "carrier"; remove it, or add it to a rollup\'s '
        "`by`\nbook.yaml: book test version 1 in USD: 1 rules in 1 groups, 2 rollups; no problem, 1 warning\n"
    )
    for arguments, code in (((), 0), (("--strict",), 1)):
        done = billing("rules", "check", "book.yaml", *arguments, folder=tmp_path)
        assert (done.code, done.out) == (code, said)


def test_golden_cases_are_compared(tmp_path: Path) -> None:
    """Otherwise a price changes and its cases are never asked."""
    write_book(tmp_path, {"sms": "0.0079"})
    cases = tmp_path / "book.cases.yaml"
    cases.write_text('cases: [{case: one, events: [{product: sms, charges: [{rule: rule-sms, amount: "0.0079"}]}]}]')
    good = billing("rules", "test", "book.yaml", folder=tmp_path)
    assert (good.code, good.out) == (0, "book.cases.yaml: 1 cases, 1 events: every charge as expected\n")
    cases.write_text(cases.read_text().replace("0.0079", "0.008"))
    bad = billing("rules", "test", "book.cases.yaml", folder=tmp_path)
    assert bad.code == 1
    assert bad.out.splitlines() == [
        'book.cases.yaml:1: "one": events[0]: amount of rule rule-sms for account acme: expected 0.008, got 0.0079',
        "book.cases.yaml: 1 cases, 1 events: 1 differences",
    ]
    missing = billing("rules", "test", "other.yaml", folder=tmp_path)
    assert missing.code == 2
    assert missing.one_error() == "other.cases.yaml: cannot be read: No such file or directory; check the path"


def test_an_event_is_explained(tmp_path: Path) -> None:
    """Otherwise nobody can answer why a customer was charged, or what would have to change."""
    write_book(tmp_path, {"sms": "0.0079", "mms": "0.02"})
    body = json.dumps(event(7, quantity=3))
    done = billing("rules", "explain", body, "-b", "book.yaml", folder=tmp_path)
    assert done.code == 0, done
    lines = [" ".join(line.split()) for line in done.out.splitlines()]
    assert lines[:6] == [
        "event event-7 of account account-7, by book test version 1 in USD",
        "",
        "group usage",
        "+ rule-sms: wins; 1 behind it are not asked",
        "quantity of the event 3",
        "price for each unit 0.0079",
    ]
    assert "account account-7 is charged 0.0237 USD for 3, by rule-sms" in lines
    (tmp_path / "event.json").write_text(body)
    from_file = billing("rules", "explain", "event.json", "-b", "book.yaml", "--json", folder=tmp_path).json
    assert from_file["groups"][0]["line"]["amount"] == "0.0237"
    assert [row["amount"] for row in from_file["rows"]["balances"]] == ["0.0237"]
    asked = billing("rules", "explain", body, "-b", "book.yaml", "--rule", "rule-mms", folder=tmp_path)
    assert '- rule-mms: product is "sms", not "mms"' in asked.out
    refused = billing("rules", "explain", json.dumps(event(7, product="fax")), "-b", "book.yaml", folder=tmp_path)
    assert refused.code == 1
    assert 'refused: no_rule: no rule charges the product "fax"' in refused.out


def test_the_shards_say_what_has_become_of_an_event(tmp_path: Path) -> None:
    """Support would explain a charge that was taken back long ago, or one that was never made."""
    void, early = event(7, type="void"), event(9, type="void")
    deployment(tmp_path, [event(7, quantity=1), void, early])
    assert billing("run", "--until-end", folder=tmp_path).code == 0
    done = billing("rules", "explain", json.dumps(event(7)), "-c", "billing.toml", folder=tmp_path)
    lines = [" ".join(line.split()) for line in done.out.splitlines()]
    assert lines[-4:] == [
        "recorded: charged, and taken back by a void",
        "account event line rule book_version quantity amount currency",
        "account-7 event-7 -1 rule-sms 1 -1 -0.0079 USD",
        "account-7 event-7 0 rule-sms 1 1 0.0079 USD",
    ]
    told = billing("rules", "explain", json.dumps(event(9)), "-c", "billing.toml", "--json", folder=tmp_path).json
    assert (told["recorded"]["state"], told["recorded"]["lines"][0]["amount"]) == ("voided_first", "0.000000000000")


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (("explain", "none.json", "-b", "book.yaml"), 2, "none.json: cannot be read (No such file or directory)"),
        (
            ("explain", "{", "-b", "book.yaml"),
            1,
            "the event is refused before any rule is asked, undecodable: not JSON",
        ),
        (("explain", "EVENT"), 2, "--book and --config: one of them says by which book; write -b book.yaml or -c"),
        (("explain", "{}", "-b", "none.yaml"), 2, "none.yaml: cannot be read: No such file or directory"),
        (("explain", "EVENT", "-b", "book.yaml", "--rule", "x"), 2, '--rule: "x" is not a rule of book test'),
        (("explain", "EVENT", "-b", "book.yaml", "--used", "1,5"), 2, "--used 1,5: is not a quantity; write a decimal"),
        (("diff", "book.yaml", "euro.yaml", "events.jsonl"), 2, "the books are in USD and EUR: compare books of one"),
        (("diff", "book.yaml", "book.yaml", "none.jsonl"), 1, "none.jsonl: No such file or directory; write the path"),
        (("diff", "book.yaml", "book.yaml", "events.jsonl", "--csv", "no/x.csv"), 1, "no/x.csv: cannot be written"),
    ],
)
def test_a_mistake_is_told_in_one_line(tmp_path: Path, arguments: tuple[str, ...], code: int, sentence: str) -> None:
    """Otherwise a person reads a traceback, and a script cannot tell a mistake from a difference."""
    write_book(tmp_path, {"sms": "0.0079"})
    (tmp_path / "euro.yaml").write_text((tmp_path / "book.yaml").read_text().replace("USD", "EUR"))
    write_events(tmp_path, [event(1)])
    given = [json.dumps(event(1)) if argument == "EVENT" else argument for argument in arguments]
    done = billing("rules", *given, folder=tmp_path)
    assert sentence in done.one_error()
    assert done.code == code


def test_two_books_are_compared(tmp_path: Path) -> None:
    """Otherwise a new price list goes live before anybody has seen what it does to whom."""
    write_book(tmp_path, {"sms": "0.0079", "mms": "0.02"})
    (tmp_path / "book.yaml").rename(tmp_path / "old.yaml")
    write_book(tmp_path, {"sms": "0.008"}, version=2)
    events = [event(number) for number in range(20)] + [event(20, product="mms"), event(21, product="fax")]
    write_events(tmp_path, [*events, b"not an event"])
    with (tmp_path / "events.jsonl").open("rb") as plain, gzip.open(tmp_path / "events.jsonl.gz", "wb") as packed:
        packed.write(plain.read())
    for file in ("events.jsonl", "events.jsonl.gz"):
        done = billing("rules", "diff", "old.yaml", "book.yaml", file, "--csv", "all.csv", folder=tmp_path)
        assert done.code == 0, done
        lines = [" ".join(line.split()) for line in done.out.splitlines()]
        assert lines[:3] == [
            "test version 1 to test version 2: 22 events, 1 unreadable",
            "21 events charged otherwise (1 newly refused, 0 newly accepted), 0 only by another rule or quantity",
            "total 0.178 to 0.16 USD, difference -0.018 USD",
        ]
        assert "rule-sms 20 20 0.158 0.16 0.002" in lines
        assert "rule-mms 1 0 0.02 0 -0.02" in lines
        assert "account-0 3 2 0.0358 0.016 -0.0198" in lines
        assert "event-20 account-0 -0.02" in lines
    rows = list(csv.DictReader(io.StringIO((tmp_path / "all.csv").read_text())))
    assert len(rows) == 21
    assert rows[20] == {
        "event": "event-20", "account": "account-0", "time": "2026-01-01T00:00:20Z", "group": "usage",
        "old_rule": "rule-mms", "new_rule": "", "old_account": "account-0", "new_account": "",
        "old_quantity": "1", "new_quantity": "", "old_amount": "0.02", "new_amount": "", "difference": "-0.02",
        "old_refused": "", "new_refused": "no_rule",
    }  # fmt: skip
    by_rule = ("--by", "rule", "--csv", "rules.csv", "--fail-on-change", "--json")
    failed = billing("rules", "diff", "old.yaml", "book.yaml", "events.jsonl", *by_rule, folder=tmp_path)
    assert failed.code == 1
    assert failed.json["total"] == {"old_amount": "0.178", "new_amount": "0.16", "difference": "-0.018"}
    assert (tmp_path / "rules.csv").read_text().splitlines() == [
        "rule,old_lines,new_lines,old_amount,new_amount,difference",
        "rule-sms,20,20,0.158,0.16,0.002",
        "rule-mms,1,0,0.02,0,-0.02",
    ]
    same = billing("rules", "diff", "old.yaml", "old.yaml", "events.jsonl", "--fail-on-change", folder=tmp_path)
    assert same.code == 0
    assert "0 events charged otherwise" in same.out
