"""Shows one run of the simulation: `python -m tests.simulation --seed 123`."""

import argparse

from tests.simulation.world import simulate

if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description="Show one run of the simulation.")
    parser.add_argument("--seed", type=int, required=True)
    result = simulate(parser.parse_args().seed, trace=print)
    print(result)  # noqa: T201 - a command for a person
