import attrs
import pytest

from billing.limits import DEPENDENCIES, PACKET_BYTES_MAX, Limits

FIELDS = attrs.fields(Limits)


@pytest.mark.parametrize("field", FIELDS, ids=[field.name for field in FIELDS])
def test_every_limit_has_a_unit_a_range_and_a_reason(field: "attrs.Attribute[int]") -> None:
    """Somebody would have to guess what a number means, or could set one that stops the worker."""
    unit = field.name.removesuffix("_max").removesuffix("_min").split("_")[-1]
    assert unit in {"events", "bytes", "ms", "seconds", "readers"} or field.name.endswith(("_min_ms", "_max_ms"))
    assert 0 <= field.metadata["minimum"] <= field.default <= field.metadata["maximum"]
    assert len(field.metadata["reason"]) > 20


def test_the_defaults_agree_with_each_other() -> None:
    """A configuration without limits would be refused, or a change of one limit blamed on another that nobody wrote."""
    limits = Limits()
    for rule in DEPENDENCIES:
        assert getattr(limits, rule.smaller) * rule.factor <= getattr(limits, rule.larger), rule.reason


def test_no_batch_can_exceed_a_packet() -> None:
    """A server would refuse the transaction and the shard would stand still."""
    assert FIELDS.batch_bytes_max.metadata["maximum"] < PACKET_BYTES_MAX == 4_194_304
