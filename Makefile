# The two commands of the README are `make run` and `make test`; both set themselves up in .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
BY_FILE := --dist loadfile --no-loadscope-reorder

.PHONY: run test test-unit test-ray test-slow test-cluster fuzz chaos lint format bench bench-collapse clean

run: $(READY)
	$(BIN)/gansearch run --space digits

# Three processes share the files. A search waits for its processes to start as often as it computes,
# and some of the tests on real Ray for a minute: others go on meanwhile. Files with searches come
# first, in the order of tests/conftest.py.
test: $(READY)
	$(BIN)/pytest -m "not slow and not cluster" -n 3 $(BY_FILE) --durations 20

test-unit: $(READY)
	$(BIN)/pytest -m "not ray and not slow and not cluster" -n auto --maxprocesses 4 --dist worksteal --durations 10

test-ray: $(READY)
	$(BIN)/pytest -m "ray and not slow" -n 2 $(BY_FILE) --durations 10

test-slow: $(READY)
	$(BIN)/pytest -m slow

# Real launches on hosts made of namespaces, some minutes long; skips without root and sshd.
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

# Ten thousand cases of bad input; `.venv/bin/python -m tests.fuzzing --help` has its flags.
fuzz: $(READY)
	$(BIN)/python -m tests.fuzzing

# Forty-eight kills in searches that must lose nothing; `benchmarks/studies/chaos.py --help` has its flags.
chaos: $(READY)
	$(BIN)/python benchmarks/studies/chaos.py

# Ends with the time that each took, and the commands of the benchmarks that are longer.
bench: $(READY)
	$(BIN)/python benchmarks/speed/bench.py

bench-collapse: $(READY)
	$(BIN)/python benchmarks/studies/replay.py

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -prune -exec rm -rf {} +

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "gansearch needs Python 3.11 or later; name one with: make PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $(READY)
