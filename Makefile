# Threshold: `make demo` to see it, `make test` to trust it. Needs Python >= 3.11, make and a network.

PYTHON ?= python3
# Test processes; each test file may start a stack of its own, and the machine we promise times for has 2 cores.
WORKERS ?= 2

VENV := .venv
BIN := $(VENV)/bin
DEPENDENCIES := $(VENV)/.dependencies-installed
PROJECT := $(VENV)/.project-installed
JARS := .cache/kafka/.jars-checked
CLASS_CACHE := .cache/kafka/.classes-learnt
EXTRA_PYTHON := $(VENV)/.extra-installed
DOCS_VENV := .cache/docs-venv
DOCS_PYTHON := $(DOCS_VENV)/.installed
EXTRA_NODE := tests/extra/node_modules/.package-lock.json
COMPOSE := .cache/docker-compose

.PHONY: help setup lint test test-long test-extra docs demo bench bench-feed soak fuzz canary clean

help:
	@echo "make setup   everything that is needed, into .venv and .cache"
	@echo "make test    lint, strict types and every test against the real Kafka and PostgreSQL"
	@echo "make test-long   what takes long: whole stacks killed, bad days, restored backups, each API asked everything"
	@echo "make test-extra   the tests in a browser, in Node and in containers; needs Chromium, Node, npm, Go, podman,"
	@echo "                  runc, mmdebstrap and libfaketime on the machine"
	@echo "make docs    the documentation as a site, into .cache/site"
	@echo "make lint    only the static checks of make test"
	@echo "make demo    the whole stack and a day's story on it; ONCE=1 ends by itself"
	@echo "make bench   measure the targets into bench/results.md"
	@echo "make bench-feed   only the feed of beds: 10,000 readers"
	@echo "make soak    takers of a last bed, fifty times, and many orders of steps; then race a million revocations against"
	@echo "             events, through kills and rebalances; PAIRS=20000 for a short one"
	@echo "make fuzz    ask each service what its OpenAPI document allows, and what it does not; EXAMPLES=500 of each, SEED=7"
	@echo "make canary  look for who a client is in everything a stack keeps, after all that may be said to it"
	@echo "make clean   remove what the targets above made, the local stack's data included"

setup: $(DEPENDENCIES) $(PROJECT) $(JARS) $(CLASS_CACHE)

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit("Threshold needs Python 3.11 or newer, and $(PYTHON) is " + sys.version.split()[0] + ": make PYTHON=python3.11") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)

$(DEPENDENCIES): requirements.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements.txt
	@touch $@

$(PROJECT): pyproject.toml $(DEPENDENCIES)
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

$(JARS): deploy/local/jars.sha256 deploy/local/jars.py $(PROJECT)
	$(BIN)/python -m deploy.local.jars
	@mkdir -p $(@D) && touch $@

$(CLASS_CACHE): deploy/local/jars.sha256 deploy/local/class_cache.py $(DEPENDENCIES) | $(JARS)
	$(BIN)/python -m deploy.local.class_cache
	@touch $@

lint: setup
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

test: lint
	$(BIN)/pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder  # whole stacks first, so that none is last alone

test-long: setup
	$(BIN)/pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(or $(ONLY),tests/long)

test-extra: setup $(EXTRA_PYTHON) $(EXTRA_NODE) $(COMPOSE)
	$(BIN)/pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder tests/extra

$(EXTRA_PYTHON): requirements-extra.txt $(DEPENDENCIES)
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements-extra.txt
	@touch $@

$(EXTRA_NODE): tests/extra/package.json tests/extra/package-lock.json
	@command -v npm > /dev/null || { echo "make test-extra needs Node and npm: apt-get install nodejs npm" >&2; exit 1; }
	npm ci --silent --prefix tests/extra
	@touch $@

docs: $(DOCS_PYTHON)
	NO_MKDOCS_2_WARNING=1 $(DOCS_VENV)/bin/mkdocs build --quiet
	@echo "The documentation is in .cache/site; open .cache/site/index.html"

$(DOCS_PYTHON): requirements-docs.txt
	$(PYTHON) -m venv $(DOCS_VENV)
	$(DOCS_VENV)/bin/python -m pip install --quiet --require-hashes -r requirements-docs.txt
	@touch $@

# The Compose command itself, of a pinned version: it needs no Docker to say whether docker-compose.yml is right.
$(COMPOSE): tests/extra/compose/go.mod tests/extra/compose/go.sum
	@command -v go > /dev/null || { echo "make test-extra needs Go: apt-get install golang-go" >&2; exit 1; }
	cd $(<D) && go build -o ../../../$@ github.com/docker/compose/v2/cmd
	@touch $@

demo: setup
	$(BIN)/threshold demo $(if $(ONCE),--once)

bench: setup
	$(BIN)/python -m bench

bench-feed: setup
	$(BIN)/python -m bench feed

soak: setup
	LAST_BED_TIMES=50 BED_EXAMPLES=100 $(BIN)/pytest -p no:xdist --timeout 3600 tests/integration/test_beds_holds.py tests/integration/test_beds_machine.py
	$(BIN)/python -m bench.soak $(if $(PAIRS),--pairs $(PAIRS)) $(if $(SEED),--seed $(SEED))

fuzz: setup
	FUZZ_EXAMPLES=$(or $(EXAMPLES),100) FUZZ_SEED=$(or $(SEED),$(shell date +%s)) $(BIN)/pytest tests/long/test_fuzz.py --timeout 3600

canary: setup
	CANARY=all $(BIN)/pytest -p no:xdist tests/e2e/test_canary.py tests/long/test_canary_fields.py

clean:
	@test ! -e .threshold/compose || { echo "make clean would remove the secrets in .threshold/compose, without which a deployment's log can't be gone on with: move them away first" >&2; exit 1; }
	rm -rf $(VENV) tests/extra/node_modules .cache .threshold build *.egg-info .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
