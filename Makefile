# Needs python3 (3.11 or later) with pip. Everything else goes into .venv.
PYTHON ?= python3
# Test processes at once.
JOBS ?= auto
# Further arguments for pytest, such as ARGS="-k journal".
ARGS ?=

BIN := .venv/bin
# A stamp is named after what pyproject.toml holds, so that it is true in any checkout.
STAMP := .venv/stamp-$(firstword $(shell cksum < pyproject.toml))
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet
COVERAGE := $(BIN)/coverage
export COVERAGE_FILE := $(CURDIR)/.venv/coverage/data

.PHONY: help run test e2e browser crash chance walk sandbox check lint format types layers size bench clean

help: ## show this list
	@echo "usage: make TARGET [PYTHON=python3.12]"
	@sed -n 's/^\([a-z]*\):[^#]*## \(.*\)/  \1\t\2/p' Makefile

run: $(STAMP)-run ## serve the example agents and send a first prompt; ONCE=1 stops after it
	@$(BIN)/python examples/quickstart.py $(if $(filter-out 0,$(ONCE)),--once)

test: $(STAMP)-test ## run the tests that have no target of their own; ARGS="-k name" runs some
	@rm -rf .venv/coverage && mkdir -p .venv/coverage
	@$(COVERAGE) run -m pytest -n $(JOBS) --dist worksteal $(ARGS)

e2e: $(STAMP)-test ## start the real command and server, and talk to them as users do
	@mkdir -p .venv/coverage
	@$(COVERAGE) run -m pytest -m e2e -n $(JOBS) --dist worksteal $(ARGS)

browser: $(STAMP)-test ## walk every page of the studio in Chromium (Debian: apt-get install chromium)
	@$(BIN)/python -m pytest -m browser -n $(JOBS) --dist worksteal $(ARGS)

crash: $(STAMP)-test ## kill a real server everywhere and look at what is left; CRASH=all kills it twice, everywhere
	@$(BIN)/python -m pytest -m crash -n $(JOBS) --dist worksteal $(ARGS)

chance: $(STAMP)-test ## execute a thousand random agents, replay them, edit them and fork them
	@$(BIN)/python -m pytest -m chance -n $(JOBS) --dist worksteal $(ARGS)

walk: $(STAMP)-test ## follow every page of the docs step by step and compare what it shows
	@$(BIN)/python -m pytest -m walk -n $(JOBS) --dist worksteal $(ARGS)

sandbox: $(STAMP)-test ## try to break out of every sandbox, as root and as an ordinary user, and install packages
	@$(BIN)/python -m pytest -m sandbox -n $(JOBS) --dist worksteal $(ARGS)

check: lint types layers size test e2e ## run every gate, `test` and `e2e`; CI runs this, `run`, `browser`, `crash`, `chance`, `walk` and `sandbox`
	@$(COVERAGE) combine --quiet
	@$(COVERAGE) report

lint: $(STAMP)-dev ## ruff: rules and format
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check

format: $(STAMP)-dev ## ruff: repair what it can
	@$(BIN)/ruff check --fix
	@$(BIN)/ruff format

types: $(STAMP)-dev ## pyright, strict
	@$(BIN)/pyright

layers: $(STAMP)-dev ## import-linter: imports run downwards only
	@$(BIN)/lint-imports --no-cache --no-logo

size: $(STAMP)-size ## measure a core install in a fresh environment

bench: $(STAMP)-run ## measure against the floor and the peers
	@$(BIN)/python benchmarks/serving.py

clean: ## remove .venv, caches and build results; .runwright holds your data and stays
	@rm -rf .venv build dist .coverage .hypothesis .import_linter_cache .pytest_cache .ruff_cache
	@find benchmarks docs examples src tests -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "$(PYTHON) is not Python 3.11 or later. Name one that is: make run PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "$(PYTHON) cannot make virtual environments. On Debian and Ubuntu:"; \
		echo "    sudo apt-get install python3-venv"; exit 1; }
	@echo "making .venv"
	@rm -rf .venv
	@$(PYTHON) -m venv .venv
	@$(PIP) 'pip>=25.1'

$(STAMP)-run: | $(BIN)/python
	@echo "installing Runwright"
	@$(PIP) --editable .
	@if $(PIP) --only-binary xllamacpp --editable '.[local]' 2> .venv/local.log; then \
		$(BIN)/runwright models pull smollm2-135m && touch $@; \
	else \
		grep '^ERROR' .venv/local.log | tail -n 1; \
		echo "The local model's engine cannot be installed here (it has no wheel for musl or old macOS)."; \
		echo "Going on with the built-in demo model, which is not an LLM."; \
	fi

$(STAMP)-test: | $(STAMP)-run
	@echo "installing what the tests need"
	@$(PIP) --group test
	@$(BIN)/runwright models pull minilm-l6
	@touch $@

$(STAMP)-dev: | $(STAMP)-test
	@echo "installing the gates"
	@$(PIP) --group dev
	@touch $@

$(STAMP)-size: | $(BIN)/python
	@$(BIN)/python tests/shape/install_size.py
	@touch $@
