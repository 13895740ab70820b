"""Mutants: every deliberate defect is noticed, in the engine by some seed, in statements by a test of the contract.

`make mutants` tries each from the first seed on, and writes the table; here a seed that is known to notice comes first.
"""

import gc
import os
from collections.abc import Iterable
from types import ModuleType

import pytest

from tests.pipeline import COUNTING, pipeline_in
from tests.simulation.check import SimulationError
from tests.simulation.mutants import ENGINE
from tests.simulation.mutants import Mutant as EngineMutant
from tests.simulation.report import NOTHING
from tests.simulation.statement_mutants import STATEMENTS, Books, Test
from tests.simulation.statement_mutants import Mutant as StatementMutant
from tests.simulation.world import simulate
from tests.stores import TablesPlace, server_place

ALL = "MUTANTS" in os.environ
SEEDS = range(400)


def seeds_for(known: int) -> Iterable[int]:
    """Return the seeds to try, in order."""
    return (*SEEDS, known) if ALL else (known, *SEEDS)


def place_of(mutant: EngineMutant | StatementMutant) -> str:
    """Return what a mutant replaces: module or class, and name in it."""
    owner = mutant.owner
    module = (
        owner.__name__ if isinstance(owner, ModuleType) else f"{owner.__module__}.{getattr(owner, '__qualname__', '')}"
    )
    return f"`{module}.{mutant.attribute}`"


def every_mutant() -> list[tuple[str, str]]:
    """Return the name of each mutant and what it replaces."""
    return [(name, place_of(mutant)) for name, mutant in (*ENGINE.items(), *STATEMENTS.items())]


def counted(number: int, what: str) -> str:
    """Return a number of things in words."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def failure_of(seed: int) -> BaseException | None:
    """Return what a run fails with, if it does."""
    try:
        simulate(seed)
    except SimulationError as error:
        return error.__cause__
    return None


@pytest.mark.parametrize("name", ENGINE)
def test_the_simulation_notices_a_defect(
    name: str, monkeypatch: pytest.MonkeyPatch, killed: list[tuple[str, ...]]
) -> None:
    """Otherwise the simulation would pass whatever the engine did wrong here."""
    mutant = ENGINE[name]
    assert hasattr(mutant.owner, mutant.attribute), "the mutant replaces something that exists"
    monkeypatch.setattr(mutant.owner, mutant.attribute, mutant.replacement)
    for tried, seed in enumerate(seeds_for(mutant.seed), start=1):
        if isinstance(failure_of(seed), AssertionError):  # what only breaks the mutant itself shows nothing
            killed.append((name, place_of(mutant), f"simulation, seed {seed}", counted(tried, "seed")))
            return
    killed.append((name, place_of(mutant), NOTHING, counted(len(SEEDS), "seed")))
    pytest.fail(f"nothing notices: {name}")


@pytest.fixture(scope="session")
def books(tmp_path_factory: pytest.TempPathFactory) -> Books:
    """Give the books that the contract of stores is tested with."""
    folders = (tmp_path_factory.mktemp("linear"), tmp_path_factory.mktemp("counting"))
    return Books(pipeline_in(folders[0]), pipeline_in(folders[1], charges=COUNTING))


def notices(test: Test, place: TablesPlace, books: Books) -> bool:
    """Tell whether a test fails, as tests do."""
    try:
        test(place, books)
    except (AssertionError, pytest.fail.Exception):
        return True
    return False


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")
@pytest.mark.parametrize("name", [name for name, mutant in STATEMENTS.items() if ALL or mutant.quick])
def test_the_contract_notices_a_defect(
    name: str,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    killed: list[tuple[str, ...]],
    books: Books,
) -> None:
    """Otherwise the tests of stores would pass whatever a statement did wrong here."""
    mutant = STATEMENTS[name]
    (server,) = request.getfixturevalue("mariadb_servers")(1)
    with monkeypatch.context() as patch:
        assert hasattr(mutant.owner, mutant.attribute), "the mutant replaces something that exists"
        patch.setattr(mutant.owner, mutant.attribute, mutant.replacement)
        for tried, test in enumerate(mutant.tests, start=1):
            noticed = notices(test, server_place("mariadb", server), books)
            gc.collect()  # what the test has left open is closed, and complains, here where that is expected
            if noticed:
                killed.append((name, place_of(mutant), f"`{test.__name__}`", counted(tried, "test")))
                return
    killed.append((name, place_of(mutant), NOTHING, counted(len(mutant.tests), "test")))
    pytest.fail(f"nothing notices: {name}")
