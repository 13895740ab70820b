"""The simulated network: carries calls from workers to shards and answers back, or does not.

Permitted faults: delays; refusals before anything happened; replies that get lost after the shard has done its work;
requests that are given up while they are on their way, and arrive later all the same.
"""

from collections.abc import Sequence
from random import Random
from typing import Final

from billing.engine import Apply, ClaimCursors, Look
from billing.ports import Reaction, Refused
from tests.simulation.clock import Clock
from tests.simulation.crew import Call, Worker
from tests.simulation.plan import Plan
from tests.simulation.shards import Answer, Shard

_LATE_MS: Final = 600  # how long a request may be on its way after it was given up
_REFUSALS: Final = (Reaction.RETRY, Reaction.RECONNECT, Reaction.RESOLVE_WRITER, Reaction.PAUSE)


class Network:
    """Everything between the workers and the shards; `on_the_way` counts requests that may still arrive."""

    def __init__(self, plan: Plan, clock: Clock, rng: Random, shards: Sequence[Shard]) -> None:
        self.on_the_way = 0
        self._plan = plan
        self._clock = clock
        self._rng = rng
        self._shards = shards

    def send(self, worker: Worker, call: Call) -> None:
        """Send a call to its shard, by way of whatever may happen to it."""
        clock, rates, rng, shard = self._clock, self._plan.rates, self._rng, self._shards[call.shard]
        session = worker.sessions[call.shard]
        there_ms, back_ms = (rng.choice((0, 1, 1, 3, 10)) * shard.delay_factor for _ in range(2))
        fate = rng.random() if clock.now_ms < self._plan.faulty_until_ms else 1.0
        clock.say(worker.name, "sends", words(call))

        def reply(answer: Answer) -> None:
            worker.disconnect(call.shard, session, answer)
            worker.answer(call, answer)

        def answer_later(answer: Answer) -> None:
            clock.after(back_ms, lambda: worker.hear(lambda: reply(answer)))

        def arrive() -> Answer:
            self.on_the_way -= 1
            return shard.serve(session, call)

        def arrive_late() -> None:
            answer = arrive()
            clock.say(f"what {worker.name} had sent arrives: {words(call)}: {type(answer).__name__}")

        def lose_reply() -> None:
            arrive()
            answer_later(Refused(Reaction.RECONNECT, "no reply"))

        if fate < rates.refused:
            answer_later(Refused(rng.choice(_REFUSALS), "not now"))
            return
        self.on_the_way += 1
        if fate < rates.refused + rates.reply_lost:
            clock.after(there_ms, lose_reply)
        elif fate < rates.refused + rates.reply_lost + rates.late:
            answer_later(Refused(Reaction.RECONNECT, "given up"))
            clock.after(back_ms + rng.randint(0, _LATE_MS), arrive_late)
        else:
            clock.after(there_ms, lambda: answer_later(arrive()))


def words(call: Call) -> str:
    """Say what a call asks for."""
    match call:
        case ClaimCursors(shard=shard, claim=claim):
            return f"shard {shard} a claim of {sorted(claim.starts)}"
        case Look(shard=shard, keys=keys):
            return f"shard {shard} a look for {len(keys)} parts"
        case Apply(shard=shard, transaction=transaction):
            moves = " ".join(f"p{move.partition}[{move.start}, {move.stop})" for move in transaction.moves)
            return f"shard {shard} {moves} with {transaction.events} events"
