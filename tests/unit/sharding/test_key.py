import numpy as np
import pytest

from sharding.key import KEY_VERSION, SLOTS, hash64, slot_of, slot_of_one

# value, XXH3 64-bit with seed 0 of its UTF-8. Written down once: they may change only together with KEY_VERSION.
GOLDEN = [
    (b"", 0x2D06800538D394C2, 38082),
    ("a", 0xE6C632B61E964E1F, 19999),
    ("0", 0x1982E3A7BB241055, 4181),
    ("acct-1", 0x7759E98D6F22E175, 57717),
    ("acct-000001", 0x4C515AA7224ECCB7, 52407),
    ("alice", 0x4DA10DD61A0116B0, 5808),
    ("bob", 0x1403C0C40F49B8E5, 47333),
    ("yes", 0xBB9DB50D5F73A9DF, 43487),
    ("ACde48001122334455667788990011", 0x9DE1BDDD1E5164E0, 25824),
    ("A" * 64, 0xD61189C19E55A44E, 42062),
    ("x" * 300, 0xA5D1B4607DC83554, 13652),
    ("naïve-konto", 0x4AE8139187992793, 10131),
    ("客户-7", 0xD48A9A2D5EB318A5, 6309),
    ("🙂", 0xFC36EFD00B5D95A7, 38311),
    (b"\xff\x00", 0x0B06685630F819E7, 6631),
]

# length of a prefix of the reference buffer, its XXH3 64-bit with seed 0, as the xxHash project publishes them in its
# sanity check (github.com/Cyan4973/xxHash, cli/xsum_sanity_check.c); one for each code path of the algorithm.
PUBLISHED = [
    (0, 0x2D06800538D394C2),
    (1, 0xC44BDFF4074EECDB),
    (6, 0x27B56A84CD2D7325),
    (12, 0xA713DAF0DFBB77E7),
    (24, 0xA3FE70BF9D3510EB),
    (48, 0x397DA259ECBA1F11),
    (80, 0xBCDEFBBB2C47C90A),
    (195, 0xCD94217EE362EC3A),
    (403, 0xCDEB804D65C6DEA4),
    (512, 0x617E49599013CB6B),
    (2048, 0xDD59E2C3A5F038E0),
    (2240, 0x6E73A90539CF2948),
    (2367, 0xCB37AEB9E5D361ED),
]


def reference_buffer(size: int) -> bytes:
    """Make the bytes that the published vectors hash: the top byte of a multiplicative generator."""
    generated, state = bytearray(), 2654435761
    for _ in range(size):
        generated.append(state >> 56)
        state = state * 11400714785074694797 % 2**64
    return bytes(generated)


@pytest.mark.parametrize(("value", "digest", "slot"), GOLDEN)
def test_golden_vectors(value: str | bytes, digest: int, slot: int) -> None:
    """A changed hash would send accounts to shards that hold none of their balances."""
    assert hash64([value]).tolist() == [digest]
    assert slot_of([value]).tolist() == [slot]
    assert slot_of_one(value if isinstance(value, bytes) else value.encode()) == slot
    assert KEY_VERSION == 1


@pytest.mark.parametrize(("length", "digest"), PUBLISHED)
def test_published_vectors(length: int, digest: int) -> None:
    """Another implementation of the documented function (another language, another tool) would route differently."""
    assert hash64([reference_buffer(length)]).tolist() == [digest]


def test_a_column_keeps_its_order_and_types() -> None:
    """Slots would be given to the wrong accounts."""
    values = [value if isinstance(value, bytes) else value.encode() for value, _, _ in GOLDEN]
    assert slot_of(values).tolist() == [slot for _, _, slot in GOLDEN]
    assert slot_of(values).dtype == np.uint16
    assert hash64(values).dtype == np.uint64
    texts = {value: slot for value, _, slot in GOLDEN if isinstance(value, str)}
    assert slot_of(list(texts)).tolist() == list(texts.values())
    assert slot_of([]).tolist() == []


def test_text_hashes_as_its_utf8() -> None:
    """A reject routed by its bytes and an account routed by its text would disagree about the same characters."""
    assert hash64(["客户-7"]).tolist() == hash64(["客户-7".encode()]).tolist()


def test_slots_fill_the_space_evenly() -> None:
    """Some shards would carry much more than others although every account is alike."""
    counts = np.bincount(slot_of([f"acct-{number}" for number in range(65536)]) >> 12, minlength=16)
    assert counts.sum() == SLOTS
    assert counts.min() > 3800  # 4,096 expected, standard deviation 62
    assert counts.max() < 4400
