import json
from collections import Counter
from decimal import Decimal

from generators import llm_trace, oracle

INPUT_SUM, OUTPUT_SUM = 22_361_870, 4_088_665
PRICES = """
book: tokens
version: 1
currency: USD
charges:
  - group: input
    rules: [{id: input, quantity: {of: input_tokens}, price: {per_unit: "0.0000003"}}]
  - group: cached
    rules:
      - id: cached
        when: {cached_input_tokens: {exists: true}}
        quantity: {of: cached_input_tokens}
        price: {per_unit: "0.000000075"}
  - group: output
    rules: [{id: output, quantity: {of: output_tokens}, price: {per_unit: "0.0000025"}}]
"""


def test_every_call_of_the_trace_becomes_one_event():
    """Else the real bill would miss calls."""
    events = [json.loads(body) for body in llm_trace.events()]
    assert len(events) == len({event["id"] for event in events}) == llm_trace.CALLS
    assert events[0] == {
        "id": "azure-conv-00001",
        "account": "acct-000023",
        "product": "llm",
        "time": "2023-11-16T18:15:46.6805900Z",
        "attributes": {"model": "jamba-1-5-mini", "input_tokens": 374, "output_tokens": 44},
    }
    assert (events[-1]["id"], events[-1]["time"]) == ("azure-conv-19366", "2023-11-16T19:14:08.4025270Z")


def test_tokens_add_up_to_the_trace():
    """Else splitting off the cached part would invent or lose tokens (sums taken from the published file)."""
    attributes = [json.loads(body)["attributes"] for body in llm_trace.events()]
    prompt = sum(one["input_tokens"] + one.get("cached_input_tokens", 0) for one in attributes)
    assert (prompt, sum(one["output_tokens"] for one in attributes)) == (INPUT_SUM, OUTPUT_SUM)


def test_accounts_and_models_are_chosen_alike_every_time():
    """Else the same trace would give other balances on another machine."""
    events = [json.loads(body) for body in llm_trace.events()]
    accounts = Counter(event["account"] for event in events)
    models = Counter(event["attributes"]["model"] for event in events)
    assert accounts.most_common(2) == [("acct-000000", 4076), ("acct-000001", 1937)]
    assert len(accounts) == 200
    assert models.most_common(2) == [("nova-lite", 4579), ("nova-2-lite", 4424)]
    assert len(models) == 11


def test_the_oracle_bills_the_trace(tmp_path):
    """Else the published comparison would have nothing to compare with."""
    book = tmp_path / "tokens.yaml"
    book.write_text(PRICES)
    expected = oracle.run(llm_trace.events(), book)
    attributes = [json.loads(body)["attributes"] for body in llm_trace.events()]
    cached = sum(one.get("cached_input_tokens", 0) for one in attributes)
    total = (
        Decimal("0.0000003") * (INPUT_SUM - cached)
        + Decimal("0.000000075") * cached
        + Decimal("0.0000025") * OUTPUT_SUM
    )
    assert (expected.accepted, expected.duplicates, expected.rejects) == (llm_trace.CALLS, 0, {})
    assert sum(expected.balances.values()) == total
