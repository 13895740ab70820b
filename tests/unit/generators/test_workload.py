import hashlib
import json
from collections import Counter

import pytest

from generators.errors import ArrivalsError, FaultsError, PopulationError, WorkloadError
from generators.faults import Faults
from generators.workload import BLOCK_EVENTS, Workload

FAULTS = Faults(duplicates=0.05, late=0.02, out_of_order=0.1, malformed=0.05)
NOISY = Workload(faults=FAULTS)


def digest(payloads: list[bytes]) -> str:
    return hashlib.sha256(b"\n".join(payloads)).hexdigest()[:16]


def test_the_log_is_the_same_on_every_machine():
    """Else a failure found with a seed could not be found again."""
    assert digest(Workload(seed=1).payloads(0, 20_000)) == "e31b31386ceb78ee"
    assert digest(Workload(seed=1, family="llm").payloads(0, 20_000)) == "864a5429f14a1c76"
    assert digest(NOISY.payloads(0, 20_000)) == "04aafd374794457f"


@pytest.mark.parametrize(
    "workload", [NOISY, Workload(family="llm", faults=FAULTS, model="uniform", arrivals="diurnal")]
)
def test_the_log_does_not_depend_on_how_it_is_cut(workload):
    """Else a worker that starts in the middle would bill another log than one that starts at the beginning."""
    whole = workload.payloads(0, 70_000)
    kinds = workload.kinds(0, 70_000)
    assert workload.payloads(66_000, 66_001) == whole[66_000:66_001]
    assert workload.payloads(8_190, 8_194) == whole[8_190:8_194]
    assert workload.payloads(BLOCK_EVENTS, 3 * BLOCK_EVENTS) == whole[BLOCK_EVENTS : 3 * BLOCK_EVENTS]
    assert workload.kinds(60_001, 70_000) == kinds[60_001:]
    assert [body for block in workload.blocks(20_001) for body in block] == whole[:20_001]
    assert workload.payloads(5, 5) == []


def test_seeds_give_different_logs():
    """Else a thousand seeds would try one log a thousand times."""
    one, two = Workload(seed=1).payloads(0, 100), Workload(seed=2).payloads(0, 100)
    assert not set(one) & set(two)


def test_credits_take_the_place_of_events():
    """Else nothing but tests would ever make a payment, or asking for some would change all the rest."""
    plain, mixed = NOISY.payloads(0, 9_000), Workload(faults=FAULTS, credits=0.1).payloads(0, 9_000)
    changed = [(json.loads(one), json.loads(other)) for one, other in zip(plain, mixed, strict=True) if one != other]
    assert 700 < len(changed) < 1_000
    assert {event["type"] for _, event in changed} == {"credit"}
    assert all(one["account"] == other["account"] for one, other in changed)
    terms = [event["credit"] for _, event in changed]
    assert {one["kind"] for one in terms} == {"payment", "grant"}
    assert {len(one) for one in terms} == {3, 4, 5, 6, 7}  # with and without cost, scope and expiry
    assert Workload(faults=FAULTS, credits=0.1).payloads(8_190, 8_194) == mixed[8_190:8_194]
    with pytest.raises(WorkloadError, match="credits: 2 is not a share; write 0 to 1"):
        Workload(credits=2)


def test_workloads_in_one_log_do_not_repeat_each_others_ids():
    """Else mixing two workloads would make conflicts that nobody planned."""
    ids = [
        json.loads(body)["id"]
        for workload in (
            Workload(),
            Workload(model="uniform"),
            Workload(model="hot-shard"),
            Workload(family="llm"),
            Workload(seed=2),
        )
        for body in workload.payloads(0, 10)
    ]
    assert len(set(ids)) == 50


def test_a_duplicate_repeats_an_ordinary_event_of_the_window_byte_for_byte():
    """Else the engine would have nothing to drop, or would be right to bill it."""
    kinds, payloads = NOISY.kinds(0, 80_000), NOISY.payloads(0, 80_000)
    place = {body: position for position, body in enumerate(payloads) if kinds[position] == "ordinary"}
    assert len(place) == kinds.count("ordinary")
    distances = [position - place[payloads[position]] for position, kind in enumerate(kinds) if kind == "duplicate"]
    assert len(distances) == 4001
    assert min(distances) >= 1
    assert 49_000 < max(distances) <= 50_000 + 100  # the source is the nearest ordinary event before


def test_a_conflict_has_the_identity_of_an_earlier_ordinary_event_and_another_body():
    """Else it would be an event of its own."""
    kinds, payloads = NOISY.kinds(0, 30_000), NOISY.payloads(0, 30_000)
    seen = {}
    conflicts = 0
    for kind, body in zip(kinds, payloads, strict=True):
        if kind == "ordinary":
            event = json.loads(body)
            seen[event["id"]] = event
        elif kind == "conflict":
            event = json.loads(body)
            conflicts += 1
            assert event == seen[event["id"]] | {"quantity": 7919}
            assert seen[event["id"]].get("quantity") != 7919
    assert conflicts == 62


def test_the_counts_of_rejects_follow_from_the_kinds():
    """Else a test that counts the quarantine would count against a guess."""
    rejects = NOISY.rejects(30_000)
    kinds = Counter(NOISY.kinds(0, 30_000))
    assert sum(rejects.values()) == 30_000 - kinds["ordinary"] - kinds["duplicate"] == 1467
    assert rejects["conflict"] == kinds["conflict"]
    assert rejects["too_large"] == kinds["large_event"]
    assert rejects["time_out_of_range"] == kinds["year_1900"] + kinds["year_2200"]
    assert Workload().rejects(30_000) == {}
    assert NOISY.rejects(0) == {}


def test_faults_leave_the_other_events_as_they_were():
    """Else the balance of a clean run could not be compared with a noisy one."""
    clean = set(Workload().payloads(0, 8_192))
    noisy = Workload(faults=Faults(duplicates=0.1, out_of_order=0.2, malformed=0.1))
    kept = [
        body for kind, body in zip(noisy.kinds(0, 8_192), noisy.payloads(0, 8_192), strict=True) if kind == "ordinary"
    ]
    assert set(kept) <= clean
    assert len(kept) == 6505


def test_late_events_stand_in_their_place_with_an_earlier_time():
    """Else lateness would be confused with disorder."""
    late, clean = Workload(faults=Faults(late=0.5)).payloads(0, 1_000), Workload().payloads(0, 1_000)
    pairs = [(json.loads(one), json.loads(two)) for one, two in zip(late, clean, strict=True)]
    assert all(one | {"time": ""} == two | {"time": ""} for one, two in pairs)
    assert all(one["time"] <= two["time"] for one, two in pairs)
    assert sum(one["time"] < two["time"] for one, two in pairs) == 510


def test_models_spread_accounts_as_they_say():
    """Else hot, skewed and uniform runs would measure the same thing."""
    accounts = {
        model: Counter(json.loads(body)["account"] for body in Workload(model=model).payloads(0, 10_000))
        for model in ("uniform", "skewed", "hot-shard")
    }
    assert accounts["hot-shard"] == {"acct-000000": 10_000}
    assert len(accounts["uniform"]) == 10_000
    assert accounts["skewed"].most_common(2) == [("acct-000000", 1577), ("acct-000001", 734)]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"seed": -1}, WorkloadError, "seed: -1 is out of bounds; write 0 to 4294967295"),
        ({"family": "gas"}, WorkloadError, 'family: "gas" is not known; write one of telecom, llm'),
        ({"model": "hot"}, PopulationError, 'model: "hot" is not known; write one of uniform, skewed, hot-shard'),
        ({"accounts": 0}, PopulationError, "accounts: 0 is out of bounds; write 1 to 10000000"),
        ({"arrivals": "x"}, ArrivalsError, 'arrivals: "x" is not known; write one of steady, diurnal, burst'),
    ],
)
def test_impossible_workloads_are_refused_with_the_remedy(arguments, error, message):
    with pytest.raises(error) as caught:
        Workload(**arguments)
    assert str(caught.value) == message


@pytest.mark.parametrize(("start", "stop"), [(-1, 5), (5, 4), (0, 10**12 + 1)])
def test_impossible_stretches_are_refused(start, stop):
    """Else a wrong cursor would read an empty log and call it done."""
    with pytest.raises(WorkloadError, match=r"^positions \["):
        Workload().payloads(start, stop)


def test_the_errors_of_parts_are_value_errors():
    """Else a command line would need to know every part to show one clear line."""
    assert all(issubclass(error, ValueError) for error in (WorkloadError, PopulationError, ArrivalsError, FaultsError))
