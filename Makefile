# Needs make and Python 3.11 or newer; everything else goes into .venv, which is made anew when pyproject.toml changes.

PYTHON ?= python3
SEEDS ?= 100000
EXAMPLES ?= 10000
FAULT_EVENTS ?= 1000000
FAULT_SECONDS ?= 60
VENV := .venv
BIN := $(VENV)/bin
RUN := $(VENV)/ready-to-run
TEST := $(VENV)/ready-to-test
SHARED := --numprocesses 2 --dist loadfile --no-loadscope-reorder
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check install

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.SUFFIXES:
.PHONY: help demo test lint unit properties simulate campaign bench clean

help:  ## show this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 18

demo: $(RUN)  ## bill 200,000 generated events into four SQLite shards and check the result
	@$(BIN)/billing demo

test: lint  ## everything that must pass before a commit; uses real servers
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

unit: $(TEST)  ## the tests that need no server
	@echo "tests: unit and properties"
	@$(BIN)/python -m pytest --quiet $(SHARED) tests/unit tests/properties

properties: $(TEST)  ## the property tests with EXAMPLES=10000 examples each: hours
	@echo "properties: $(EXAMPLES) examples each"
	@EXAMPLES=$(EXAMPLES) $(BIN)/python -m pytest --quiet --timeout=0 --durations=0 tests/properties

simulate: $(TEST)  ## the simulation over SEEDS=100000 seeds: hours
	@echo "simulation: $(SEEDS) seeds"
	@SIMULATION_SEEDS=$(SEEDS) $(BIN)/python -m pytest --quiet --timeout=0 tests/simulation

campaign: $(TEST)  ## the faults on real servers at full length: minutes
	@echo "faults: $(FAULT_EVENTS) events under kills, a shard stopped for $(FAULT_SECONDS) s"
	@FAULT_EVENTS=$(FAULT_EVENTS) FAULT_SECONDS=$(FAULT_SECONDS) $(BIN)/python -m pytest --quiet --timeout=0 tests/faults

bench: $(TEST)  ## speed of the pure path, then of skewed and uniform load on real servers: ten minutes
	@$(BIN)/billing-bench kernels
	@$(BIN)/billing-bench run --model skewed --shards 4 --workers 2 --seconds 180
	@$(BIN)/billing-bench run --model uniform --shards 4 --workers 2 --seconds 180

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
