import json

import pytest

from generators.defects import CONFLICTING, DEFECTS
from generators.oracle_event import RejectedError, parse

SOUND = (
    b'{"id":"e1","account":"acct-000001","time":"2028-02-29T12:00:00.000001Z","product":"sms",'
    b'"attributes":{"country":"US","to":"+12125550100"},"quantity":2}'
)
PRICED_LATER = {"no_rule", "wrong_currency"}  # sound in form; only a book tells


@pytest.mark.parametrize("name", DEFECTS)
@pytest.mark.parametrize("number", [0, 1, 2**53 - 1, 0x0A0D0A0D0A0D])
def test_damage_makes_the_event_bad_for_its_reason(name, number):
    """Else the expected count of rejects by reason would be wrong."""
    defect = DEFECTS[name]
    body = defect.damage(SOUND, number)
    assert b"\n" not in body
    assert b"\r" not in body
    if defect.reason in PRICED_LATER:
        assert parse(body).id == "e1"
    else:
        with pytest.raises(RejectedError) as caught:
            parse(body)
        assert caught.value.reason == defect.reason


def test_a_conflict_is_sound_and_differs_in_what_is_billed():
    """Else a conflicting event would pass for a repeat."""
    body = json.loads(CONFLICTING.damage(SOUND, 0))
    assert body == json.loads(SOUND) | {"quantity": 7919}
    assert parse(CONFLICTING.damage(SOUND, 0)).quantity == 7919
