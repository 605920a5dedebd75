# Two commands matter: `make up` runs the fleet here, `make test` tests everything.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed

.PHONY: all install up down format lint types imports unit test bench calibrate fuzz demo contract lock clean

# What a change needs before it is committed: seconds, no servers.
all: format lint types imports unit

install: $(STAMP)

# The lock file names every package with its hash. Build isolation would need a network.
$(STAMP): requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --no-deps --no-build-isolation -e .
	touch $@

# Servers, stream, schema, keys, users and workers, in the foreground; Ctrl-C stops them in order.
up: install
	$(BIN)/python -m workers up

down: install
	$(BIN)/mts stop

format: install
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix-only --quiet .

lint: install
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: install
	$(BIN)/mypy

imports: install
	$(BIN)/lint-imports

unit: install
	$(BIN)/pytest -q -m unit

# Four at a time: most tests wait for servers of their own, not for a core.
test: lint types imports
	$(BIN)/pytest -n 4 --dist worksteal

bench: install
	$(BIN)/python bench/run.py

# How often watchdogs are wrong, into docs/calibration.md; minutes.
calibrate: install
	$(BIN)/python -m bench.calibrate

# A million mutated payloads each: do both readers of the frozen rule agree, and both of market data?
fuzz: install
	$(BIN)/python bench/fuzz_identity.py
	$(BIN)/python bench/fuzz_market.py

demo: install
	$(BIN)/mts demo

# The documents that are generated from the source.
contract: install
	$(BIN)/python -m operations.cli.contract docs
	$(BIN)/python -m operations.cli.reference docs
	$(BIN)/python -m operations.cli.monitoring deploy
	$(BIN)/python -c 'from operations.adapters import accounts; print(accounts.deployed_configuration(), end="")' \
		> deploy/nats.conf

lock: install
	$(BIN)/python -m pip install --disable-pip-version-check --quiet 'uv>=0.13'
	$(BIN)/python -m uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --no-header --extra dev --upgrade pyproject.toml -o requirements.lock

clean:
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache *.egg-info
