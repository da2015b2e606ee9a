# Salience: `make help` says what there is. Everything runs in .venv, made from the locks in requirements/.

PYTHON ?= python3
BOOTSTRAP = $(PYTHON) tools/bootstrap.py
ARGS ?=
# What runs a second time, on what is machine code in a wheel.
COMPILED_TESTS = tests/unit/engine tests/conformance tests/generative tests/unit/service/worker tests/unit/connectors/test_kafka_records.py

.DEFAULT_GOAL := help
.PHONY: help run test check format fuzz faults bench docs protos lock clean python venv

help: ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: python ## install what is needed, then start the example shop, the API and the admin UI
	@$(BOOTSTRAP) run salience run $(ARGS)

venv: python ## make .venv with everything for development
	@$(BOOTSTRAP) test

test: venv ## run all tests; installs Redis, Chromium and Kafka first where it may
	@.venv/bin/python -m tools.provision
	@.venv/bin/python -m pytest -n 2 --dist loadgroup $(ARGS)
	@test -n "$(ARGS)" || HYPOTHESIS_PROFILE=dev .venv/bin/python -m tools.compiled .venv/bin/python -m pytest -n 2 -q -m "not interpreted" -o "pythonpath=.compiled/lib ." \
		$(COMPILED_TESTS)

check: venv ## linters, formatting, types and import floors
	@.venv/bin/python -m tools.check

format: venv ## format the code and sort its imports
	@.venv/bin/ruff check --select I,RUF022 --fix-only --quiet .
	@.venv/bin/ruff format --quiet .

fuzz: venv ## compare the network with the naive evaluator on generated cases (ARGS="--cases 10000 --seed 1 --jobs 2 --ledger FILE")
	@.venv/bin/python -m tests.generative.fuzz $(ARGS)

faults: venv ## kill workers, Redis and brokers, and compare with the engine alone (ARGS="--seed 1 --minutes 30")
	@.venv/bin/python -m tools.provision
	@.venv/bin/python -m tests.faults $(ARGS)

bench: venv ## measure, beside peers where they can be installed
	@.venv/bin/python -m tools.provision --bench
	@.venv/bin/python -m benchmarks $(ARGS)

docs: venv ## write the reference pages anew from settings, commands and codes
	@.venv/bin/python -m tools.reference

protos: venv ## write the modules of gRPC anew from service/rpc/decisions.proto
	@.venv/bin/python -m tools.protos

lock: venv ## write the locks anew from setup.py
	@.venv/bin/python -m tools.lock $(ARGS)

clean: ## remove the environment, caches and what a running shop wrote
	rm -rf .venv .salience .compiled build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

python:
	@command -v $(PYTHON) >/dev/null 2>&1 || { echo "salience: $(PYTHON) was not found. Install Python 3.11 or newer, or name one: make run PYTHON=/path/to/python3" >&2; exit 1; }
