"""Telecom traffic: SMS, MMS, voice calls and number look-ups with the attributes that carriers price by.

Owns the routes and the JSON text of these events. Must not know who the accounts are or when events happen.
"""

from collections.abc import Iterator, Sequence
from itertools import product as combinations
from typing import Final

import attrs
import numpy as np
from numpy.typing import NDArray

Int64s = NDArray[np.int64]
Float64s = NDArray[np.float64]

DRAWS: Final = 3  # uniform columns that `render` takes: route, number, quantity
_NUMBER_DIGITS: Final = 7  # every prefix below leaves seven digits of its country's numbers open
_VOICE_MEAN_SECONDS: Final = 95
_VOICE_MAX_SECONDS: Final = 14_400  # carriers end calls after some hours
_SEGMENT_STEPS: Final = (0.85, 0.97)  # one segment for 85 % of messages, two for 12 %, three for the rest
_RESELLER_EVERY: Final = 20  # one account in 20 belongs to a reseller,
_RESELLER_OFFSET: Final = 7  # beginning with acct-000007,
_RESELLERS: Final = 997  # who are as many as a prime, so that neighbours differ


@attrs.frozen
class Country:
    """A country: its numbers (E.164 prefixes that leave seven digits), carriers, share of the traffic, MMS or not."""

    code: str
    prefixes: tuple[str, ...]
    carriers: tuple[str, ...]
    share: float
    has_mms: bool = False


# Prefixes: national numbering plans as published by ITU-T (E.164 national numbers). Shares are invented.
COUNTRIES: Final = (
    Country(
        "US", ("+1212", "+1305", "+1415", "+1646"), ("att", "t-mobile", "us-cellular", "verizon"), 0.44, has_mms=True
    ),
    Country("CA", ("+1416", "+1604"), ("bell", "rogers", "telus"), 0.08, has_mms=True),
    Country("PR", ("+1787",), ("claro", "liberty"), 0.01, has_mms=True),
    Country("GB", ("+44770", "+44787"), ("ee", "o2", "vodafone"), 0.11),
    Country("DE", ("+491511", "+491761"), ("o2", "telekom", "vodafone"), 0.07),
    Country("FR", ("+3361", "+3367"), ("bouygues", "orange", "sfr"), 0.06),
    Country("IN", ("+91981", "+91991"), ("airtel", "jio", "vi"), 0.08),
    Country("BR", ("+551191",), ("claro", "tim", "vivo"), 0.05),
    Country("MX", ("+52551",), ("att", "telcel"), 0.04),
    Country("AU", ("+6141",), ("optus", "telstra", "vodafone"), 0.03),
    Country("JP", ("+81901",), ("docomo", "kddi", "softbank"), 0.02),
    Country("SG", ("+659",), ("singtel", "starhub"), 0.01),
)
SMS, MMS, VOICE, LOOKUP = PRODUCTS = ("sms", "mms", "voice", "lookup")
PRODUCT_SHARES: Final = {SMS: 0.76, MMS: 0.07, VOICE: 0.15, LOOKUP: 0.02}  # of MMS, in the countries that have it
DIRECTION_SHARES: Final = {"outbound": 0.82, "inbound": 0.18}


@attrs.frozen
class _Route:
    product: str
    head: str  # the JSON text from the product to the number's prefix
    share: float


def _routes() -> Iterator[_Route]:
    """Yield every combination of country, prefix, product, direction and carrier with its share of the traffic."""
    for country in COUNTRIES:
        for prefix in country.prefixes:
            share = country.share / len(country.prefixes)
            yield _Route(
                LOOKUP,
                f'"product":"lookup","attributes":{{"country":"{country.code}","to":"{prefix}',
                share * PRODUCT_SHARES[LOOKUP],
            )
            products = (SMS, MMS, VOICE) if country.has_mms else (SMS, VOICE)
            for product, direction, carrier in combinations(products, DIRECTION_SHARES, country.carriers):
                yield _Route(
                    product,
                    f'"product":"{product}","attributes":{{"country":"{country.code}","direction":"{direction}",'
                    f'"carrier":"{carrier}","to":"{prefix}',
                    share * PRODUCT_SHARES[product] * DIRECTION_SHARES[direction] / len(country.carriers),
                )


_ROUTES: Final = tuple(_routes())
_HEADS: Final = np.array([route.head for route in _ROUTES], dtype=object)
_PRODUCTS: Final = np.array([PRODUCTS.index(route.product) for route in _ROUTES])
_CUMULATIVE: Final = np.cumsum([route.share for route in _ROUTES])
_SEGMENT_TEXTS: Final = np.array(["", ',"quantity":1', ',"quantity":2', ',"quantity":3'], dtype=object)


def render(ids: Sequence[str], accounts: Int64s, times: Sequence[str], draws: Float64s) -> list[bytes]:
    """Return the JSON text of n events.

    ids, times (RFC 3339): n texts that need no escaping; accounts: int64[n], account indices; draws: float64[DRAWS, n],
    uniform in [0, 1).
    """
    route = np.searchsorted(_CUMULATIVE, draws[0] * _CUMULATIVE[-1], side="right")
    numbers = (draws[1] * 10**_NUMBER_DIGITS).astype(np.int64)
    texts = [
        f'{{"id":"{event}","account":"acct-{account:06d}","time":"{time}",{head}{number:07d}"{reseller}}}{quantity}}}'
        for event, account, time, head, number, reseller, quantity in zip(
            ids,
            accounts.tolist(),
            times,
            _HEADS[route].tolist(),
            numbers.tolist(),
            _resellers(accounts),
            _quantities(_PRODUCTS[route], draws[2]),
            strict=True,
        )
    ]
    return "\n".join(texts).encode().split(b"\n")


def _resellers(accounts: Int64s) -> list[str]:
    belongs = accounts % _RESELLER_EVERY == _RESELLER_OFFSET
    texts = np.full(len(accounts), "", dtype=object)
    texts[belongs] = [f',"reseller":"resell-{account % _RESELLERS:03d}"' for account in accounts[belongs].tolist()]
    return list(texts)


def _quantities(products: NDArray[np.intp], draws: Float64s) -> list[str]:
    """Return the JSON member of each quantity: segments of an SMS, tenths of seconds of a call, else none (1)."""
    segments = 1 + np.searchsorted(_SEGMENT_STEPS, draws, side="right")
    texts = _SEGMENT_TEXTS[np.where(products == PRODUCTS.index(SMS), segments, 0)]
    voice = products == PRODUCTS.index(VOICE)
    seconds = np.minimum(-np.log1p(-draws[voice]) * _VOICE_MEAN_SECONDS, _VOICE_MAX_SECONDS - 1)
    tenths = (seconds * 10).astype(np.int64) + 1  # a call that was answered lasted
    texts[voice] = [f',"quantity":"{tenth // 10}.{tenth % 10}"' for tenth in tenths.tolist()]
    return list(texts)
