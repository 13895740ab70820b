"""Prices out of CSV tables: worked by hand."""

from pathlib import Path

from tests.rulebooks import price, reasons, rules_of

VOICE = """prefix,name,per_minute,inbound
+1,North America,0.014,
+1787,Puerto Rico,0.0192,0.01
+44,United Kingdom,0.0158,0.01
+449,Premium,,0.02
"""
MODELS = "model,region,input,output\nnova,eu,0.0000006,0.000002\nnova,us,0.0000005,\npalmyra,eu,0.0000007,0.000003\n"


def test_the_longest_prefix_gives_the_price(tmp_path: Path) -> None:
    """A call to Puerto Rico would be billed as a call to the mainland."""
    book = rules_of(tmp_path, "price: {table: {file: voice.csv, longest_prefix: to, column: per_minute}}", voice=VOICE)
    events = [{"to": "+12125550100"}, {"to": "+17875550100", "quantity": 3}, {"to": "+1787"}, {"to": "+44"}]
    assert price(book, *events) == [
        (0, "r0", "acme", "1", "0.014"),
        (1, "r0", "acme", "3", "0.0576"),
        (2, "r0", "acme", "1", "0.0192"),
        (3, "r0", "acme", "1", "0.0158"),
    ]


def test_without_row_or_cell_the_next_rule_is_tried(tmp_path: Path) -> None:
    """A premium number without a price would be billed at the price of its country."""
    book = rules_of(
        tmp_path,
        "price: {table: {file: voice.csv, longest_prefix: to, column: per_minute}}",
        'when: {to: {exists: true}}, price: {flat: "9.99"}',
        voice=VOICE,
    )
    events = [{"to": "+449"}, {"to": "+8"}, {"to": "+"}, {"to": "+44"}]
    assert [(line[0], line[1]) for line in price(book, *events)] == [(0, "r1"), (1, "r1"), (2, "r1"), (3, "r0")]
    assert reasons(book, {}) == [(0, "no_rule", 'no rule charges the product "sms"')]


def test_two_columns_of_one_table(tmp_path: Path) -> None:
    """Inbound calls would be billed at the outbound price, or lost where only that cell is empty."""
    book = rules_of(
        tmp_path,
        "when: {dir: in}, price: {table: {file: voice.csv, longest_prefix: to, column: inbound}}",
        "price: {table: {file: voice.csv, longest_prefix: to, column: per_minute}}",
        voice=VOICE,
    )
    events = [{"to": "+441", "dir": "in"}, {"to": "+449", "dir": "in"}, {"to": "+1", "dir": "in"}, {"to": "+441"}]
    assert [line[1:2] + line[4:] for line in price(book, *events)] == [
        ("r0", "0.01"),
        ("r0", "0.02"),
        ("r1", "0.014"),
        ("r1", "0.0158"),
    ]


def test_a_key_of_several_names_must_agree_in_all(tmp_path: Path) -> None:
    """A model would be billed at the price of another region."""
    book = rules_of(
        tmp_path,
        "price: {table: {file: models.csv, key: [model, region], column: output}}",
        "price: {table: {file: models.csv, key: [model, region], column: input}}",
        models=MODELS,
    )
    events = [
        {"model": "nova", "region": "eu", "quantity": 10},
        {"model": "nova", "region": "us", "quantity": 10},
        {"model": "palmyra", "region": "eu", "quantity": 10},
    ]
    assert [line[1:2] + line[4:] for line in price(book, *events)] == [
        ("r0", "0.00002"),
        ("r1", "0.000005"),
        ("r0", "0.00003"),
    ]
    unknown = [{"model": "nova"}, {"region": "eu"}, {"model": "palmyra", "region": "us"}]
    assert [reason for _, reason, _ in reasons(book, *unknown)] == ["no_rule"] * 3


def test_product_and_account_can_be_keys(tmp_path: Path) -> None:
    """An agreed price of one customer could not be written down."""
    book = rules_of(
        tmp_path,
        "price: {table: {file: deals.csv, key: [account, product], column: price}}",
        'price: {flat: "1"}',
        deals="account,product,price\nacme,sms,0.5\n",
    )
    assert [line[4] for line in price(book, {}, {"account": "b"}, {"product": "mms"})] == ["0.5", "1", "1"]
