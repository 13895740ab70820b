"""The simulated network: carries calls from workers to shards and answers back, or does not.

Permitted faults (see `faults`): delays; refusals before anything happened; connections cut before, during and after the
shard does its work; transactions that are rolled back before they write.
"""

from collections import Counter
from collections.abc import Sequence
from functools import partial
from random import Random
from typing import Final

from billing.effects import Apply, ClaimCursors, Look
from billing.ports import Applied, Reaction, Refused
from tests.simulation.clock import Clock
from tests.simulation.crew import Call, Worker
from tests.simulation.faults import Fault
from tests.simulation.plan import Plan
from tests.simulation.shards import Answer, Shard

_LATE_MS: Final = 600  # how long a request may be on its way after it was given up
_REFUSALS: Final = (Reaction.RETRY, Reaction.RECONNECT, Reaction.RESOLVE_WRITER, Reaction.PAUSE)
_ROLLED_BACK: Final = (Reaction.RETRY, Reaction.RECONNECT)
_FATES: Final = (Fault.REFUSED, Fault.CUT_BEFORE, Fault.CUT_DURING, Fault.CUT_AFTER, Fault.ROLLED_BACK)


class Network:
    """Everything between the workers and the shards; `on_the_way` counts requests that may still arrive."""

    def __init__(self, plan: Plan, clock: Clock, rng: Random, shards: Sequence[Shard], counts: Counter[Fault]) -> None:
        self.on_the_way = 0
        self._plan = plan
        self._clock = clock
        self._rng = rng
        self._shards = shards
        self._counts = counts
        self._fates = [(fault, plan.random(fault), plan.amounts[fault]) for fault in _FATES]

    def send(self, worker: Worker, call: Call) -> None:
        """Send a call to its shard, by way of whatever may happen to it."""
        clock, rng, shard = self._clock, self._rng, self._shards[call.shard]
        session = worker.sessions[call.shard]
        there_ms, back_ms = (rng.choice((0, 1, 1, 3, 10)) * shard.delay_factor for _ in range(2))
        fate = self._fate()
        clock.say(worker.name, "sends", partial(words, call))

        def reply(answer: Answer) -> None:
            worker.disconnect(call.shard, session, answer)
            worker.answer(call, answer)

        def answer_later(answer: Answer) -> None:
            clock.after(back_ms, lambda: worker.hear(lambda: reply(answer)))

        def arrive() -> Answer:
            self.on_the_way -= 1
            if fate is Fault.ROLLED_BACK:
                return shard.roll_back(session, call, rng.choice(_ROLLED_BACK))
            answer = shard.serve(session, call)
            self._counts[Fault.FENCED] += isinstance(answer, Refused) and answer.reaction is Reaction.FENCED
            return answer

        def arrive_late() -> None:
            answer = arrive()
            self._counts[Fault.CUT_DURING] += isinstance(answer, Applied)
            clock.say(f"what {worker.name} had sent arrives: {words(call)}: {type(answer).__name__}")

        def lose_reply() -> None:
            answer = arrive()
            self._counts[Fault.CUT_AFTER] += isinstance(answer, Applied)
            clock.say(f"the answer to {worker.name} is lost: {words(call)}: {type(answer).__name__}")
            answer_later(Refused(Reaction.RECONNECT, "no reply"))

        if fate in (Fault.REFUSED, Fault.CUT_BEFORE):
            answer_later(self._refused(fate, call))
            return
        self.on_the_way += 1
        if fate is Fault.CUT_AFTER:
            clock.after(there_ms, lose_reply)
        elif fate is Fault.CUT_DURING:
            answer_later(Refused(Reaction.RECONNECT, "given up"))
            clock.after(back_ms + rng.randint(0, _LATE_MS), arrive_late)
        else:
            clock.after(there_ms, lambda: answer_later(arrive()))

    def _refused(self, fate: Fault, call: Call) -> Refused:
        """Return the answer to a call that never arrives."""
        self._counts[fate] += fate is Fault.REFUSED or isinstance(call, Apply)
        if fate is Fault.REFUSED:
            return Refused(self._rng.choice(_REFUSALS), "not now")
        return Refused(Reaction.RECONNECT, "cut on the way")

    def _fate(self) -> Fault | None:
        """Return what goes wrong with the next call, if anything; every stream advances, whatever the others say."""
        struck = [fault for fault, rng, chance in self._fates if rng.random() < chance]
        faulty = self._clock.now_ms < self._plan.faulty_until_ms
        return struck[0] if struck and faulty else None


def words(call: Call) -> str:
    """Say what a call asks for."""
    match call:
        case ClaimCursors(shard=shard, claim=claim):
            return f"shard {shard} a claim of {sorted(claim.starts)} at {claim.map_version}/{claim.book_version}"
        case Look(shard=shard, keys=keys):
            return f"shard {shard} a look for {len(keys)} parts"
        case Apply(shard=shard, transaction=transaction):
            moves = " ".join(f"p{move.partition}[{move.start}, {move.stop})" for move in transaction.moves)
            return f"shard {shard} {moves} with {transaction.events} events"
