import json
from collections import Counter

import numpy as np

from generators import telecom
from generators.telecom import COUNTRIES

CALLING_CODES = {"US": "+1", "CA": "+1", "PR": "+1", "GB": "+44", "DE": "+49", "FR": "+33", "IN": "+91"} | {
    "BR": "+55",
    "MX": "+52",
    "AU": "+61",
    "JP": "+81",
    "SG": "+65",
}


def events(count: int) -> list[dict]:
    draws = np.random.Generator(np.random.Philox(3)).random((telecom.DRAWS, count))
    ids = [f"e{number}" for number in range(count)]
    times = ["2026-01-01T00:00:00Z"] * count
    return [json.loads(body) for body in telecom.render(ids, np.arange(count), times, draws)]


def test_numbers_belong_to_their_country_and_have_the_length_of_e164():
    """Else prefix prices would be tried on numbers that no carrier has."""
    for event in events(5_000):
        number, country = event["attributes"]["to"], event["attributes"]["country"]
        assert number.startswith(CALLING_CODES[country])
        assert number[1:].isdigit()
        assert 11 <= len(number) <= 14


def test_carriers_and_mms_belong_to_their_country():
    """Else fees would be charged where the carrier is not, and messages sent that no book prices."""
    countries = {country.code: country for country in COUNTRIES}
    for event in events(5_000):
        country = countries[event["attributes"]["country"]]
        assert event["attributes"].get("carrier") in {*country.carriers, None}
        assert event["product"] != "mms" or country.has_mms


def test_products_directions_and_quantities_have_their_shares():
    """Else the default load would not look like a phone company's."""
    sample = events(20_000)
    directions = Counter(event["attributes"].get("direction") for event in sample)
    assert Counter(event["product"] for event in sample) == {"sms": 15714, "voice": 3074, "mms": 772, "lookup": 440}
    assert directions == {"outbound": 16193, "inbound": 3367, None: 440}
    assert Counter(event["quantity"] for event in sample if event["product"] == "sms") == {1: 13379, 2: 1876, 3: 459}
    assert all("quantity" not in event for event in sample if event["product"] in {"mms", "lookup"})
    calls = [float(event["quantity"]) for event in sample if event["product"] == "voice"]
    assert 0.1 <= min(calls) < 1
    assert 600 < max(calls) <= 14_400


def test_one_account_in_twenty_belongs_to_a_reseller():
    """Else no event would charge a second account."""
    resellers = {event["account"]: event["attributes"].get("reseller") for event in events(60)}
    assert {account: reseller for account, reseller in resellers.items() if reseller} == {
        "acct-000007": "resell-007",
        "acct-000027": "resell-027",
        "acct-000047": "resell-047",
    }


def test_the_text_of_an_event_is_as_published():
    """Else a stored workload could not be made again."""
    draws = np.array([[0.03], [0.5], [0.25]])
    (body,) = telecom.render(["e1"], np.array([7]), ["2026-01-01T00:00:00.000001Z"], draws)
    assert body == (
        b'{"id":"e1","account":"acct-000007","time":"2026-01-01T00:00:00.000001Z","product":"sms","attributes":'
        b'{"country":"US","direction":"outbound","carrier":"t-mobile","to":"+12125000000","reseller":"resell-007"},'
        b'"quantity":1}'
    )
