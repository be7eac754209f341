# `make run` and `make test`, the commands of the README, install into .venv first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: run test test-unit test-ray test-slow test-cluster fuzz chaos lint format bench bench-collapse clean

run: $(READY)
	$(BIN)/gansearch run --space digits

test: test-unit test-ray

test-unit: $(READY)
	$(BIN)/pytest -m "not ray and not slow and not cluster" -n auto --maxprocesses 4 --dist worksteal --durations 10

# Not in parallel: each search uses all cores.
test-ray: $(READY)
	$(BIN)/pytest -m "ray and not slow" --durations 10

test-slow: $(READY)
	$(BIN)/pytest -m slow

# Launches real clusters on hosts made of network namespaces. Takes minutes; skips without root or sshd.
test-cluster: $(READY)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[cluster]'
	$(BIN)/pytest -m cluster

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Ten thousand cases of malformed input; `.venv/bin/python -m tests.fuzzing --help` has its flags.
fuzz: $(READY)
	$(BIN)/python -m tests.fuzzing

# Kills processes of searches 48 times, and checks that nothing is lost; `benchmarks/studies/chaos.py --help` has its flags.
chaos: $(READY)
	$(BIN)/python benchmarks/studies/chaos.py

# Prints at the end how long each benchmark took, and the commands of the longer ones.
bench: $(READY)
	$(BIN)/python benchmarks/speed/bench.py

bench-collapse: $(READY)
	$(BIN)/python benchmarks/studies/replay.py

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -prune -exec rm -rf {} +

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "gansearch needs Python 3.11 or later; choose one with: make PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $(READY)
