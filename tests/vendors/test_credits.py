"""Examples of credits that vendors publish, in credits.yaml; README.md says where vendors disagree."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
import yaml

from generators import oracle
from tests.credited import agreed
from tests.pipeline import bill, credit, pipeline_in

CASES = yaml.safe_load(Path(__file__).with_name("credits.yaml").read_text(encoding="utf-8"))["cases"]
AT_US = int(datetime(2026, 7, 1, tzinfo=UTC).timestamp()) * 1_000_000
BOOK = """
charges:
- group: usage
  rules: [{id: unit, price: {per_unit: 1}}]
rollups:
- {name: hourly, every: hour, by: [product]}
"""


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["case"])
def test_published_amounts_are_met_exactly(case, tmp_path):
    """Otherwise credits that customers know from elsewhere would be worth something else here."""
    log = [_charge(number, one) for number, one in enumerate(case["charges"])]
    log += [_credit(one) for one in case["credits"]]
    pipeline = pipeline_in(tmp_path, charges=BOOK)
    for order in (log, log[::-1]):
        found = agreed(bill(pipeline, [order]), oracle.run(order, tmp_path / "book.yaml"), "acme", AT_US)
        assert len(found.credits) == len(case["credits"])
        left = {one.credit.id: one.remaining for one in found.credits if not one.expired}
        assert left == {name: Decimal(amount) for name, amount in case.get("left", {}).items()}
        expired = {one.credit.id: one.expired for one in found.credits if one.expired}
        assert expired == {name: Decimal(amount) for name, amount in case.get("expired", {}).items()}
        assert found.due == case["due"]


def test_every_case_cites_its_page():
    """Otherwise nobody could check an expectation against what the vendor says."""
    assert all(case["source"] for case in CASES)
    assert len(CASES) >= 12
    assert len({case["case"].split(",")[0] for case in CASES}) >= 6


def _charge(number, one):
    event = {"id": f"u{number}", "account": "acme", "product": "x", "time": "2026-01-01T01:00:00Z"}
    return json.dumps(event | one).encode()


def _credit(one):
    time, name = one.get("time", "2026-01-01T00:00:00Z"), one["id"]
    terms = {key: value for key, value in one.items() if key not in {"id", "time"}}
    return credit(name, {"kind": "grant", "currency": "USD", **terms}, time=time)
