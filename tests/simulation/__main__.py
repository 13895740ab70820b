"""Shows one run of the simulation, or runs many: `python -m tests.simulation --help`."""

import argparse
import sys
from functools import partial

from tests.simulation.campaign import run_campaign
from tests.simulation.check import SimulationError
from tests.simulation.faults import fault_of, listing
from tests.simulation.minimise import minimised
from tests.simulation.plan import EVENTS
from tests.simulation.report import Tally, next_seed, write_page
from tests.simulation.world import simulate


def main() -> int:
    """Show a run, the smallest failing one, what is permitted; or run a campaign. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--seed", type=int, help="the run to show")
    what.add_argument("--minimise", type=int, metavar="SEED", help="the smallest run of a seed that fails")
    what.add_argument("--faults", action="store_true", help="all faults and how likely they are")
    what.add_argument("--campaign", type=int, metavar="SEEDS", help="run so many seeds, and keep the results")
    what.add_argument("--page", action="store_true", help="write ops/simulation.md anew from the results")
    parser.add_argument("--without", default="", metavar="FAULT,...", help="faults that the run shall not have")
    parser.add_argument("--events", type=int, default=EVENTS[1], help="how many events it has at most")
    parser.add_argument("--first", type=int, help="the campaign's first seed; the next one that has not run yet")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="how long the campaign takes at most")
    parser.add_argument("--processes", type=int, default=1, help="of the campaign")
    wanted, say = parser.parse_args(), partial(print, flush=True)
    if wanted.campaign is not None:
        first = next_seed() if wanted.first is None else wanted.first
        return run_campaign(first, wanted.campaign, wanted.seconds, wanted.processes, say)
    if wanted.page:
        write_page()
    elif wanted.faults:
        say(listing())
    elif wanted.minimise is not None:
        say(minimised(wanted.minimise))
    else:
        without = frozenset(map(fault_of, filter(None, wanted.without.split(","))))
        try:
            tally = Tally()
            tally.add(simulate(wanted.seed, say, without, wanted.events))
            say(tally)
        except SimulationError as error:
            say(error)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
