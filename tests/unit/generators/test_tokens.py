import json

import numpy as np

from generators import tokens
from generators.tokens import MODELS


def test_shares_add_up_and_cached_prices_are_those_of_the_price_table():
    """Else events would name tokens that the table has no price for."""
    assert round(sum(model.share for model in MODELS), 9) == 1
    assert [model.name for model in MODELS if model.caches] == ["nova-2-lite", "nova-2-lite-jp", "nova-2-pro-preview"]


def test_cached_tokens_come_out_of_the_prompt():
    """Else a cached prompt would be billed twice."""
    bodies = tokens.render_calls(
        ["c1", "c2", "c3"],
        np.array([0, 1, 2]),
        ["2026-01-01T00:00:00Z"] * 3,
        models=np.array([1, 1, 0]),
        prompt_tokens=np.array([100, 100, 100]),
        output_tokens=np.array([7, 8, 9]),
        cached_eighths=np.array([3, 0, 3]),
    )
    assert [json.loads(body)["attributes"] for body in bodies] == [
        {"model": "nova-2-lite", "input_tokens": 63, "output_tokens": 7, "cached_input_tokens": 37},
        {"model": "nova-2-lite", "input_tokens": 100, "output_tokens": 8},
        {"model": "nova-lite", "input_tokens": 100, "output_tokens": 9},
    ]


def test_synthetic_counts_follow_the_recorded_ones():
    """Else token prices would be tried on calls that nobody makes."""
    count = 20_001
    draws = np.vstack([np.zeros(count), np.linspace(0, 1, count), np.linspace(0, 1, count), np.zeros(count)])
    bodies = tokens.render(["c"] * count, np.zeros(count, dtype=np.int64), ["t"] * count, draws)
    attributes = [json.loads(body)["attributes"] for body in bodies]
    assert [attributes[row]["input_tokens"] for row in (0, 10_000, 20_000)] == [2, 1020, 14050]
    assert [attributes[row]["output_tokens"] for row in (0, 10_000, 20_000)] == [7, 129, 1000]
