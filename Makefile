# Bulkhead. Two commands matter: `make run` and `make test`; both install what they need first.
#   make run [FRESH=1] [WEB_PORT=8000]   start everything on this machine and print where to look
#   make test                            install and run every check
SHELL := /bin/sh
.DEFAULT_GOAL := help
.PHONY: help run setup setup-tests test lint contracts bench deep screenshots lock
PYTHON_OF_VENV := .venv/bin/python

# Recorded market history, where a copy lies beside the checkout.
ifneq ($(wildcard ../shared/data/README.md),)
export MARKET_HISTORY_DIR ?= $(CURDIR)/../shared/data
export MARKET_HISTORY_REQUIRED := 1
endif

help:
	@sed -n '1,3s/^# \{0,1\}//p' Makefile
	@echo "  make setup | lint | contracts | deep | screenshots | lock"
	@echo "  make bench [WHAT=tick|kernels|scale|risk|settlement|bonds]"
	@echo "       measure, as JSON: a tick; the engine's arithmetic; 10,000 relationships; the last two and what-if;"
	@echo "       from the ledger to the chain and back; bonds (docs/benchmarks.md)"

setup:
	@python=$$(scripts/find-python) && exec "$$python" -m scripts.install

setup-tests:
	@python=$$(scripts/find-python) && exec "$$python" -m scripts.install --tests

run: setup
	@exec $(PYTHON_OF_VENV) -m intermediary.config.supervisor $(if $(filter 1 yes true,$(FRESH)),--fresh)

test: setup-tests
	@exec $(PYTHON_OF_VENV) -m scripts.check

lint: setup-tests
	@exec $(PYTHON_OF_VENV) -m scripts.check lint

contracts: setup-tests
	@exec $(PYTHON_OF_VENV) -m scripts.contracts

deep: setup-tests
	@exec $(PYTHON_OF_VENV) -m scripts.check deep

WHAT = tick
bench: setup
	@exec $(PYTHON_OF_VENV) manage.py bench $(WHAT) --json

screenshots: setup-tests
	@exec $(PYTHON_OF_VENV) manage.py screenshots

# Pins stay as they are unless pyproject.toml forbids them; delete a lock first to take newer releases.
lock: setup-tests
	@for lock in "requirements.lock pyproject.toml" "requirements-test.lock pyproject.toml --group test" \
	    "requirements-node.lock --group node" "requirements-uv.lock --group uv" \
	    "requirements-contracts.lock --group contracts"; do \
	  set -- $$lock; output=$$1; shift; echo "  $$output"; \
	  .venv/bin/uv pip compile -q --universal --generate-hashes --no-annotate --no-header --python-version 3.11 \
	    "$$@" -o "$$output" || exit 1; \
	done
