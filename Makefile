# `make run` and `make test`, the commands of the README, install into .venv first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
BY_FILE := --dist loadfile --no-loadscope-reorder

.PHONY: run test test-browser test-unit test-ray test-slow test-cluster fuzz pictures chaos lint format bench bench-collapse clean

run: $(READY)
	$(BIN)/gansearch run --space digits

# Three processes share the files, because a search often waits for its own processes to start, and
# some tests on real Ray wait for a minute. Files with searches come
# first, in the order of tests/conftest.py.
test: $(READY)
	$(BIN)/pytest -m "not slow and not cluster" -n 3 $(BY_FILE) --durations 20

# Installs Debian's Chromium where it is absent; keeps pictures of the pages in build/screenshots.
test-browser: $(READY)
	command -v chromium || (apt-get update && apt-get install --yes --no-install-recommends chromium)
	$(BIN)/pytest -m browser

test-unit: $(READY)
	$(BIN)/pytest -m "not ray and not slow and not cluster" -n auto --maxprocesses 4 --dist worksteal --durations 10

test-ray: $(READY)
	$(BIN)/pytest -m "ray and not slow" -n 2 $(BY_FILE) --durations 10

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

# The README's pictures, from a run that is kept without its weights; needs Chromium.
pictures: $(READY)
	$(BIN)/python benchmarks/studies/readme_pictures.py results/readme-digits

# Kills processes of searches 48 times, and checks that nothing is lost; `benchmarks/studies/chaos.py --help` has its flags.
chaos: $(READY)
	$(BIN)/python benchmarks/studies/chaos.py

# Prints at the end how long each benchmark took, and the commands of the longer ones.
bench: $(READY)
	$(BIN)/python benchmarks/speed/bench.py

bench-collapse: $(READY)
	$(BIN)/python benchmarks/studies/samples_bench.py --dataset digits mnist --draws 2
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
