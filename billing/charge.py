"""Charges: events priced by a rulebook, as parts (an event and one account it charges) and their lines.

Owns the identity of what is written: which part a line belongs to and its number. Must not know shards or stores.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import attrs
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from billing.credit import NO_CREDITS, Credits, taken
from billing.digest import UInt64s
from billing.tail import Tail, concat_tails
from billing.texts import texts_at
from rules.columns import MISSING, Coded, Counter, Decimals, Dictionary, Int32s, Int64s

FOREIGN_SEPARATOR: Final = " "  # not an identifier character, so "origin id" cannot be somebody's id

Bools = NDArray[np.bool_]


@attrs.frozen(eq=False)
class Charges:
    """Parts and lines in log order; n parts, m >= n lines.

    A part is (event, charged account): key (strings) is the event id, or "origin id" where another account than the
    event's own is charged. Parts: partition int32[n], offset int64[n], key, account coded[n], time_us int64[n],
    digest uint64[n], home bool[n] (the event's own account is charged), void bool[n] (the event is taken back; lines
    are prices of now until `billing.voids` replaces them), kept (JSON text), payload (bytes),
    attributes coded[n] for the names that routing asked for. Lines: part int32[m] ascending, line int32[m] counting
    from 0 within a part, tail int32[m] into tails, quantity decimals (scale at most 12), amount decimals (scale 12).
    counter: int32[m] into counters, -1 where the amount is final; the others are 0 until their shard settles them by
    what its account has used before; use: m decimals, what a line adds to its account's counter. credits: the terms of
    parts that are credits, whose one line charges nothing, or voids of credits.
    """

    partition: Int32s
    offset: Int64s
    key: pa.StringArray
    account: Coded
    time_us: Int64s
    digest: UInt64s
    home: Bools
    void: Bools
    kept: pa.StringArray
    payload: pa.BinaryArray
    attributes: Mapping[str, Coded]
    part: Int32s
    line: Int32s
    tail: Int32s
    tails: Dictionary[Tail]
    quantity: Decimals
    amount: Decimals
    counter: Int32s
    counters: Sequence[Counter]
    use: Decimals
    credits: Credits = NO_CREDITS

    def __len__(self) -> int:
        return len(self.key)

    def take(self, mask: Bools) -> "Charges":
        """Select parts by a boolean mask, with their lines."""
        if mask.all():
            return self
        rows = np.flatnonzero(mask)
        lines = np.flatnonzero(mask[self.part])
        renumbered = np.cumsum(mask, dtype=np.int32) - 1
        return Charges(
            partition=self.partition[rows],
            offset=self.offset[rows],
            key=texts_at(self.key, rows),
            account=self.account.take(rows),
            time_us=self.time_us[rows],
            digest=self.digest[rows],
            home=self.home[rows],
            void=self.void[rows],
            kept=texts_at(self.kept, rows),
            payload=texts_at(self.payload, rows),
            attributes={name: column.take(rows) for name, column in self.attributes.items()},
            part=renumbered[self.part[lines]],
            line=self.line[lines],
            tail=self.tail[lines],
            tails=self.tails,
            quantity=self.quantity.take(lines),
            amount=self.amount.take(lines),
            counter=self.counter[lines],
            counters=self.counters,
            use=self.use.take(lines),
            credits=taken(self.credits, rows),
        )

    @classmethod
    def concat(cls, pieces: Sequence["Charges"]) -> "Charges":
        """Join pieces in order; their dictionaries are merged."""
        if len(pieces) == 1:
            return pieces[0]
        first_parts = np.cumsum([0, *(len(piece) for piece in pieces[:-1])], dtype=np.int32)
        tail, tails = concat_tails([piece.tail for piece in pieces], [piece.tails for piece in pieces])
        counters: dict[Counter, int] = {}
        counter_codes = []
        for piece in pieces:
            known = [counters.setdefault(counter, len(counters)) for counter in piece.counters]
            counter_codes.append(np.array([*known, MISSING], dtype=np.int32)[piece.counter])
        return cls(
            partition=np.concatenate([piece.partition for piece in pieces]),
            offset=np.concatenate([piece.offset for piece in pieces]),
            key=pa.concat_arrays([piece.key for piece in pieces]),
            account=_concat_coded([piece.account for piece in pieces]),
            time_us=np.concatenate([piece.time_us for piece in pieces]),
            digest=np.concatenate([piece.digest for piece in pieces]),
            home=np.concatenate([piece.home for piece in pieces]),
            void=np.concatenate([piece.void for piece in pieces]),
            kept=pa.concat_arrays([piece.kept for piece in pieces]),
            payload=pa.concat_arrays([piece.payload for piece in pieces]),
            attributes={
                name: _concat_coded([piece.attributes[name] for piece in pieces]) for name in pieces[0].attributes
            },
            part=np.concatenate([piece.part + first for piece, first in zip(pieces, first_parts, strict=True)]),
            line=np.concatenate([piece.line for piece in pieces]),
            tail=tail,
            tails=tails,
            quantity=Decimals.concat([piece.quantity for piece in pieces]),
            amount=Decimals.concat([piece.amount for piece in pieces]),
            counter=np.concatenate(counter_codes),
            counters=list(counters),
            use=Decimals.concat([piece.use for piece in pieces]),
            credits={
                first + part: terms
                for piece, first in zip(pieces, first_parts.tolist(), strict=True)
                for part, terms in piece.credits.items()
            },
        )


def _concat_coded(columns: Sequence[Coded]) -> Coded:
    values = columns[0].values
    if any(column.values is not values for column in columns):
        texts: dict[str, int] = {}
        columns = [_recoded(column, texts) for column in columns]
        values = Dictionary(texts)
    return Coded(np.concatenate([column.codes for column in columns]), values)


def _recoded(column: Coded, texts: dict[str, int]) -> Coded:
    """Give the texts that rows have their numbers in `texts`, which takes up new ones."""
    used, places = np.unique(column.codes, return_inverse=True)
    codes = [MISSING if one == MISSING else texts.setdefault(column.values[one], len(texts)) for one in used.tolist()]
    return Coded(np.array(codes, dtype=np.int32)[places], column.values)
