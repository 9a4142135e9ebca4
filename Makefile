# Every target sets up what it needs. `make PYTHON=/path/to/python3.12 test` chooses another Python.

PYTHON ?= python3
UV ?= uv
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
LOCK := $(UV) pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes \
	--no-annotate --no-header --no-emit-index-url --no-emit-find-links --quiet --group build

.DEFAULT_GOAL := help
.PHONY: help setup demo demo-scale servers fetch test check docs bench chaos isolation seeded-bugs lock clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(VENV)/.installed ## Make .venv, with .venv/bin/rung, from the hashed lock

demo: setup ## Run the main job on real data, then serve it; ONCE=1 stops after printing
	@$(BIN)/rung demo $(if $(ONCE),--once)

demo-scale: $(VENV)/.installed-dev ## The same on Kafka and DynamoDB Local, with two workers; ONCE=1 as above
	@$(BIN)/python -m servers.demo $(if $(ONCE),--once)

servers: $(VENV)/.installed-dev ## Run Kafka and DynamoDB Local until Ctrl-C; FRESH=1 empties them first
	@$(BIN)/python -m servers $(if $(FRESH),--fresh)

fetch: $(VENV)/.installed-dev ## Get the servers and the browser that the tests use, if they are not there
	@$(BIN)/python -m servers fetch
	@$(BIN)/python -m servers.browser

test: fetch ## Run all tests, on real servers that they start and stop
	@PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

chaos: $(VENV)/.installed-dev ## Mix all faults for SECONDS=600, by SEED=1, then compare every user
	@$(BIN)/python -m servers fetch
	@PYTHONPATH=tests:. $(BIN)/python -m faults.chaos --seconds $(or $(SECONDS),600) --seed $(or $(SEED),1)

isolation: $(VENV)/.installed-dev ## Send REQUESTS=1000000 of many users mixed: no answer has a byte of another
	@PYTHONPATH=tests:. $(BIN)/python -m status.isolation --requests $(or $(REQUESTS),1000000)

seeded-bugs: $(VENV)/.installed-dev ## Put in known bugs one by one: the tests must catch each
	@$(BIN)/python -m servers fetch
	@PYTHONPATH=tests:. $(BIN)/python -m seeded_bugs

check: $(VENV)/.installed-dev ## Lint, formatting, types, import contracts
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/lint-imports --no-cache
	@$(BIN)/basedpyright

docs: $(VENV)/.installed-dev ## Write the generated pages of the documentation, and build the site in build/site
	@$(BIN)/python -m docs.generator
	@$(BIN)/mkdocs --quiet build --strict

bench: $(VENV)/.installed-dev .bench/quix/.installed ## Measure this machine; SCALE=0.01 is a quick look
	@$(BIN)/python -m servers fetch
	@SCALE=$(SCALE) PART=$(PART) $(BIN)/python -m bench

lock: ## Choose dependency versions again (needs uv)
	@$(LOCK) --upgrade --output-file requirements.lock
	@$(LOCK) --upgrade --extra spark --extra postgres --group dev --constraint requirements.lock --output-file requirements-dev.lock

clean: ## Remove .venv, the servers and the caches
	@rm -rf $(VENV) .bench .servers .ruff_cache .hypothesis .pytest_cache

$(VENV)/.installed: requirements.lock pyproject.toml
	@command -v $(PYTHON) >/dev/null || { \
		echo "error: $(PYTHON) not found. Install Python 3.11 or later, or name one: make PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "error: Rung needs Python 3.11 or later, and $(PYTHON) is $$($(PYTHON) --version 2>&1)." \
			"Install a later one, or name one: make PYTHON=/path/to/python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "error: $(PYTHON) has no venv module. On Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	@echo "Setting up $(VENV) (once) ..."
	@$(PYTHON) -m venv --clear $(VENV)
	@$(PIP) --require-hashes --requirement requirements.lock
	@$(PIP) --no-deps --no-build-isolation --no-index --editable .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed requirements-dev.lock
	@echo "Adding the test tools to $(VENV) ..."
	@# What of them is used is compiled by its first use: most of it never is.
	@$(PIP) --no-compile --require-hashes --requirement requirements-dev.lock
	@touch $@

# What the bench compares with needs other versions, so it has an environment of its own.
.bench/quix/.installed: bench/rivals/quix.lock
	@echo "Setting up .bench/quix (once) ..."
	@$(PYTHON) -m venv --clear .bench/quix
	@.bench/quix/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement $<
	@touch $@
