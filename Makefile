# Needs make and Python 3.11 or newer; everything else goes into .venv, which is made anew when pyproject.toml changes.

PYTHON ?= python3
SEEDS ?= 10000
PROCESSES ?= 1
EXAMPLES ?= 10000
FUZZ_EVENTS ?= 1000000
FUZZ_SEED ?= 1
FUZZ_EXAMPLES ?= 1000
FAULT_DATABASE ?= mariadb
FAULT_SEED ?= 1
FAULT_FAULTS ?= 200
FAULT_EVENTS ?= 1000000
FAULT_SECONDS ?= 60
READS_EVENTS ?= 1000000
READS_KILLS ?= 10
VENV := .venv
BIN := $(VENV)/bin
RUN := $(VENV)/ready-to-run
TEST := $(VENV)/ready-to-test
SHARED := --numprocesses 2 --dist loadfile --no-loadscope-reorder
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check install

# Tests start many processes: where byte code may not be written, each would compile all its modules anew.
test unit: export PYTHONDONTWRITEBYTECODE :=

campaign: export FAULT_DATABASE := $(FAULT_DATABASE)
campaign: export FAULT_SEED := $(FAULT_SEED)
campaign: export FAULT_FAULTS := $(FAULT_FAULTS)
campaign: export FAULT_EVENTS := $(FAULT_EVENTS)
campaign: export FAULT_SECONDS := $(FAULT_SECONDS)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.SUFFIXES:
.PHONY: help demo test lint compiled unit properties simulate mutants fuzz campaign reads screenshots bench compare plan clean

help:  ## show this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 18

demo: $(RUN)  ## bill 200,000 generated events into four SQLite shards and check the result
	@$(BIN)/billing demo

test: $(TEST)  ## everything that must pass before a commit; uses real servers
	@$(MAKE) --no-print-directory --jobs 2 lint compiled
	@echo "kernels: their times beside a baseline"
	@$(BIN)/billing-bench kernels --events 20000 --repeats 9 --against bench/measurements/kernels.json
	@echo "tests: all"
	@$(BIN)/python -m pytest --quiet $(SHARED)

lint: $(TEST)  ## style, types and import contracts
	@echo "ruff: rules and format"
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --quiet --check .
	@echo "mypy: types"
	@$(BIN)/python -m mypy --no-error-summary
	@echo "import-linter: contracts"
	@said=$$($(BIN)/lint-imports --no-logo) || { echo "$$said"; exit 1; }

compiled: $(TEST)
	@echo "machine code: of every loop"
	@$(BIN)/billing compile

unit: $(TEST)  ## the tests that need no server
	@echo "tests: unit and properties"
	@$(BIN)/python -m pytest --quiet $(SHARED) tests/unit tests/properties

properties: $(TEST)  ## the property tests with EXAMPLES=10000 examples each: hours
	@echo "properties: $(EXAMPLES) examples each"
	@EXAMPLES=$(EXAMPLES) $(BIN)/python -m pytest --quiet --timeout=0 --durations=0 tests/properties

simulate: $(TEST)  ## the simulation over the next SEEDS=10000 seeds: an hour; counts add up in ops/simulation.md
	@echo "simulation: $(SEEDS) seeds"
	@$(BIN)/python -m tests.simulation --campaign $(SEEDS) --processes $(PROCESSES)

mutants: $(TEST)  ## deliberate defects, one at a time, and what notices each: ten minutes; the table is in ops/simulation.md
	@echo "mutants: of the engine and of statements"
	@MUTANTS=1 $(BIN)/python -m pytest --quiet --timeout=0 tests/simulation/test_mutants.py

fuzz: $(TEST)  ## FUZZ_EVENTS=1000000 events of broken bytes, and hostile texts in SQL on real servers: ten minutes
	@echo "fuzz: $(FUZZ_EVENTS) events from seed $(FUZZ_SEED), $(FUZZ_EXAMPLES) packets for each charset"
	@FUZZ_EVENTS=$(FUZZ_EVENTS) FUZZ_SEED=$(FUZZ_SEED) EXAMPLES=$(FUZZ_EXAMPLES) \
		$(BIN)/python -m pytest --quiet --timeout=0 tests/security/test_event_fuzz.py tests/security/test_sql_fuzz.py

campaign: $(TEST)  ## faults on real servers, FAULT_FAULTS=200 of them drawn from FAULT_SEED=1: an hour
	@echo "faults: $(FAULT_FAULTS) on $(FAULT_DATABASE), seed $(FAULT_SEED), $(FAULT_EVENTS) events or more"
	@$(BIN)/python -m pytest --quiet --timeout=0 --ignore tests/faults/test_report.py tests/faults
	@$(BIN)/python -m tests.faults.report
	@$(BIN)/python -m tests.faults.report --page

reads: $(TEST)  ## accounts read in every way after READS_EVENTS=1000000 with READS_KILLS=10: twenty minutes
	@echo "reads: $(READS_EVENTS) events, $(READS_KILLS) workers killed"
	@READS_EVENTS=$(READS_EVENTS) READS_KILLS=$(READS_KILLS) $(BIN)/python -m pytest --quiet --timeout=0 tests/integration/test_reads_agree.py

screenshots: $(TEST)  ## what the page looks like, taken by its tests: a minute; the pictures are in ops/page
	@echo "screenshots: the page"
	@SCREENSHOTS=1 $(BIN)/python -m pytest --quiet tests/integration/test_page.py

compare: $(TEST)  ## the product beside the classic pattern, ready-made packets and Redis, by three models: half an hour; in .cache/compare
	@$(BIN)/billing-bench compare --out .cache/compare

bench: $(TEST)  ## speed of the pure path, then of skewed and uniform load on real servers: ten minutes
	@$(BIN)/billing-bench kernels
	@$(BIN)/billing-bench run --model skewed --shards 4 --workers 2 --seconds 180
	@$(BIN)/billing-bench run --model uniform --shards 4 --workers 2 --seconds 180

plan: $(TEST)  ## measure one shard with 1 to 4 writers and plan a billion events a day by that: half an hour
	@$(BIN)/billing-bench plan --measure .cache/capacity.json --latency --per-day 1e9 --peak 60000 --html .cache/plan.html

clean:  ## remove .venv and caches; not .stack, whose servers may be running
	@rm -rf $(VENV) .cache .demo .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache build dist
	@find bench billing generators ops rules sharding tests -name __pycache__ -type d -prune -exec rm -rf {} +

$(RUN): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed; name one: make PYTHON=python3.11")'
	@echo "venv: installing into $(VENV)"
	@$(PYTHON) -m venv --clear $(VENV)
	@$(PIP) --editable .
	@touch $@

$(TEST): $(RUN)
	@echo "venv: installing test tools into $(VENV)"
	@$(PIP) --editable '.[test]'
	@touch $@
