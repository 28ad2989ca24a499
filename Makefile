PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: demo test slow containers containers-quick lint check fuzz bench chaos chaos-quick docs format clean setup

setup: $(STAMP)

$(STAMP): pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "python3 is missing: install it with 'apt-get install python3 python3-venv' (or your system's package tool)."; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed, this is $$($(PYTHON) -V): install it with 'apt-get install python3.11 python3.11-venv', then run 'make PYTHON=python3.11'."; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "Python's venv module is missing: install it with 'apt-get install python3-venv'."; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $(STAMP)

demo: setup  ## start a small mesh of real daemons and send generations through it
	$(BIN)/electrons demo

test: setup  ## the whole default test suite
	$(BIN)/python -m pytest -q -n 2 --dist loadfile -m 'not slow'

slow: setup  ## the tests that need minutes, or engines from the extras
	$(BIN)/python -m pytest -q -m slow

containers: setup  ## builds the images and runs them with podman
	$(BIN)/python -m pytest -q -m containers tests/containers

containers-quick: setup  ## the same, but only sizes, one hardened node and a job across the bridge
	$(BIN)/python -m pytest -q -m containers tests/containers -k 'small or hardened_node or crosses'

lint: setup  ## format, lint, types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

check:  ## what a change must pass
	$(MAKE) lint
	$(MAKE) test

fuzz: setup  ## a minute of hostile bytes
	$(BIN)/python -m tests.fuzz --seconds 60

bench: setup  ## writes the README's table of figures
	$(BIN)/python -m benchmarks

chaos: setup  ## the long runs of docs/chaos.md, two hours on a machine that does nothing else
	$(BIN)/python -m chaos.stream_kills --times 200
	$(BIN)/python -m chaos.stream_kills --times 20 --by stop
	$(BIN)/python -m chaos.rolling_update
	$(BIN)/python -m chaos.partition_workers
	$(BIN)/python -m chaos.churn
	$(BIN)/python -m chaos.leader_kills
	$(BIN)/python -m chaos.all_killed
	$(BIN)/python -m chaos.all_killed --power-loss
	$(BIN)/python -m chaos.partition_leader
	$(BIN)/python -m chaos.assignment_churn
	$(BIN)/python -m chaos.deaths
	$(BIN)/python -m chaos.revocation
	$(BIN)/python -m chaos.dht_attack
	$(BIN)/python -m chaos.nat_kinds
	$(BIN)/python -m chaos.reach
	$(BIN)/python -m chaos.first_job
	$(BIN)/python -m chaos.relay_speed
	$(BIN)/python -m chaos.hole_punching

chaos-quick: setup  ## a small version of each
	$(BIN)/python -m chaos.quick
	$(BIN)/python -m benchmarks.slow_connections --quick

docs: setup  ## writes the reference of all settings
	$(BIN)/python -m node.config_reference > docs/configuration.md

format: setup
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) build *.egg-info .demo
