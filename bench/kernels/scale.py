"""Scale: two books that charge the same traffic, one of ten rules and one of as many as wanted.

Owns their text. Every rule has the form of one in the telecom book; many match the generated traffic, each for a part
of it, and the rest are for countries, numbers and accounts that it does not have.
"""

from collections.abc import Iterator
from itertools import islice, product
from pathlib import Path
from typing import Final

from generators.population import account_name
from generators.telecom import COUNTRIES, Country

RULES_MIN: Final = 10  # those of the small book, which end the big one too
RULES_MAX: Final = 100_000
PREFIXES_MIN: Final = 27  # one for each block of numbers that generated traffic has
PREFIXES_MAX: Final = 2_000_000

_RULE: Final = "  - {{id: {}, when: {{{}}}, price: {{per_unit: '{}'}}}}\n"
_USAGE: Final = """\
  - {id: sms-outbound, when: {product: sms, direction: outbound}, price: {per_unit: "0.0079"}}
  - {id: sms-inbound, when: {product: sms, direction: inbound}, price: {per_unit: "0.0075"}}
  - {id: mms, when: {product: mms}, price: {per_unit: "0.02"}}
  - id: voice-outbound
    when: {product: voice, direction: outbound}
    price:
      call:
        unit: 60
        table: {file: deck.csv, longest_prefix: to, rate: per_minute, connect: connect, first: first, next: next}
  - id: voice-inbound
    when: {product: voice, direction: inbound}
    quantity: {round_up_to: 6, per: 60}
    price: {per_unit: "0.0085"}
  - {id: lookup, when: {product: lookup}, price: {flat: "0.005"}}
"""
_FEES: Final = """\
  - {id: fee-att, when: {product: sms, carrier: att}, price: {per_unit: "0.003"}}
  - {id: fee-t-mobile, when: {product: sms, carrier: t-mobile}, price: {per_unit: "0.003"}}
  - {id: fee-verizon, when: {product: sms, carrier: verizon}, price: {per_unit: "0.00325"}}
"""
_FEE_CARRIERS: Final = ("att", "t-mobile", "verizon")
_SHARES: Final = """\
  - id: share
    when: {reseller: {exists: true}}
    charge: {attribute: reseller}
    price: {percentage: {of: usage, rate: "0.10"}}
"""
_BOOK: Final = """\
book: scale
version: 1
currency: USD
dimensions: [country]
keep: [to]
charges:
- group: usage
  rules:
%s- group: carrier-fee
  rules:
%s- group: reseller
  rules:
%srollups:
- {name: hourly, every: hour, by: [product]}
- {name: daily, every: day, by: [product, country]}
"""


def write_book(folder: Path, rules: int, prefixes: int) -> Path:
    """Write a book of so many rules and a deck of so many prefixes into a folder; returns the book's path."""
    assert RULES_MIN <= rules <= RULES_MAX
    assert PREFIXES_MIN <= prefixes <= PREFIXES_MAX
    more = rules - RULES_MIN
    fees = min(more // 5, len(list(_fees())))
    usage = "".join(islice(_rules(), more - fees)) + _USAGE
    (folder / "deck.csv").write_text("".join(islice(_deck(), prefixes + 1)), encoding="utf-8")
    path = folder / "book.yaml"
    path.write_text(_BOOK % (usage, "".join(islice(_fees(), fees)) + _FEES, _SHARES), encoding="utf-8")
    return path


def _rules() -> Iterator[str]:
    """Yield rules that take traffic from those of the small book: by route, by number and by account in turn."""
    routes = _routes()
    numbers = (f"{prefix}{block:02d}" for block, prefix in product(range(100), _prefixes()))
    for i in range(RULES_MAX):
        # Once there is no more of one kind there is always another account.
        route = next(routes, None) if i % 3 == 0 else None
        number = next(numbers, None) if i % 3 == 1 else None
        if route is not None:
            country, carrier, direction = route
            when = f"product: sms, direction: {direction}, country: {country}, carrier: {carrier}"
        elif number is not None:
            when = f"product: sms, direction: outbound, to: {{prefix: '{number}'}}"
        else:
            when = f"product: {('sms', 'mms', 'lookup')[i % 7 % 3]}, account: {account_name(i // 3)}"
        yield _RULE.format(f"r{i}", when, f"0.{i % 1000 + 1:05d}")


def _fees() -> Iterator[str]:
    """Yield fees by country of the carriers that have one in the small book, and of invented ones."""
    routes = (route for route in _routes() if route[1] in _FEE_CARRIERS or route[0].startswith("X"))
    for i, (country, carrier, direction) in enumerate(routes):
        when = f"product: sms, direction: {direction}, country: {country}, carrier: {carrier}"
        yield _RULE.format(f"f{i}", when, f"0.{i % 1000 + 1:05d}")


def _routes() -> Iterator[tuple[str, str, str]]:
    """Yield country, carrier and direction: those of the traffic, then invented ones."""
    for country in (*COUNTRIES, *(Country(f"X{i}", (), (f"c{i % 50}", f"c{i % 70}x"), 0) for i in range(1_000))):
        yield from product([country.code], country.carriers, ("outbound", "inbound"))


def _prefixes() -> list[str]:
    return [prefix for country in COUNTRIES for prefix in country.prefixes]


def _deck() -> Iterator[str]:
    """Yield the lines of a deck: a header, each block of numbers, then ever smaller parts of each."""
    yield "prefix,destination,per_minute,connect,first,next\n"
    for digits in range(6):
        for part, prefix in product(range(10**digits), _prefixes()):
            suffix = f"{part:0{digits}d}" if digits else ""
            first, following = ((60, 60), (60, 1), (30, 6))[part % 3]
            rate = 100 + part % 900
            yield f"{prefix}{suffix},Place {suffix},0.{rate:04d},0.0{part % 10},{first},{following}\n"
