# Every target does its own set-up. `make help` lists them.
# PYTHON=... chooses the interpreter of the virtual environment, ARGS=... is passed on to the command.

PYTHON ?= $(shell tools/find-python 3.11 3.12 3.13 3.14)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt
# Stamps: packages to run the program, and those to develop it on top.
RUN := $(VENV)/.installed-run
DEV := $(VENV)/.installed-dev
PROOFS := $(subst _,-,$(patsubst integration/proof_%.py,%,$(wildcard integration/proof_*.py)))

.NOTPARALLEL:
.DELETE_ON_ERROR:
.PHONY: help demo test check format kafka faults bench-tools bench bench-gates ci constraints proof-resolve clean

help: ## Say what there is to make
	@awk -F ':.*## ' '/^[a-z%-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' Makefile
	@echo "  proofs: resolve $(PROOFS)"

demo: $(RUN) ## Watch payments being scored (needs Python 3.11 or newer, nothing else)
	@$(BIN)/stream-infer demo $(ARGS)

test: $(DEV) ## Run all tests: tests/ on every supported Python, integration/ on a real Kafka
	$(BIN)/python tools/test_matrix.py
	$(BIN)/python -m pytest integration

check: $(DEV) ## Lint, formatting, types, import rules, generated files up to date
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m stream_infer.config.describe --check
	$(BIN)/python -m stream_infer.observe.describe --check

format: $(DEV) ## Format the code and mend what lint can mend
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

kafka: $(DEV) ## Start a real local Kafka and print its address; Ctrl-C stops it (ARGS=--registry: schemas, too)
	@$(BIN)/python -m integration.brokers $(ARGS)

TRIALS ?= 20
SEED ?= 1

faults: $(DEV) ## Break replicas, brokers and network at random, and prove that nothing is lost (TRIALS=20 SEED=1)
	$(BIN)/python -m integration.faults --trials $(TRIALS) --seed $(SEED) $(ARGS)

BENCH := $(BIN)/python -m bench.rivals
GATED := stream_infer,floor_confluent,plain_python,streams,streams_batch,java_plain
FRAMEWORKS := quix,bytewax,faust,faststream

bench-tools: $(DEV)
	$(BENCH).frameworks.environments
	mvn --quiet --batch-mode --file bench/rivals/java/pom.xml package

bench: bench-tools ## Compare with every rival, and write docs/benchmarks.md (hours; ARGS=--workload floats)
	$(BENCH) $(ARGS)
	$(BENCH).page

SHORT := $(BENCH) --results .cache/bench/gates.jsonl

bench-gates: bench-tools ## What must hold, from a short comparison (ARGS=--repetitions=1)
	$(SHORT) --workload payment,floats --events 250000 --subjects $(GATED),$(FRAMEWORKS) $(ARGS)
	$(SHORT) --workload payment_500 --events 150000 --subjects stream_infer,plain_python,java_plain,streams_batch $(ARGS)
	$(SHORT) --workload crayfish --events 400000 --subjects stream_infer,streams $(ARGS)
	$(BENCH).gates

ci: ## Run what the README tells people to run
	.ci/run

proof-resolve: $(DEV) ## Show that the dependencies resolve on Python 3.14
	$(BIN)/python -m pytest integration/test_packaging.py -k resolve

proof-%: $(DEV) ## Run one proof that is too long for every run
	@test -f integration/proof_$(subst -,_,$*).py || { echo "no proof $*; there are: resolve $(PROOFS)"; exit 2; }
	$(BIN)/python -m pytest -s -o faulthandler_timeout=0 integration/proof_$(subst -,_,$*).py $(ARGS)

constraints: $(DEV) ## Resolve all dependencies afresh and write their versions to constraints.txt
	sed -n '/^#/p' constraints.txt > constraints.new
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --upgrade --extra dev --no-annotate --no-header \
	  pyproject.toml >> constraints.new
	mv constraints.new constraints.txt

clean: ## Remove everything that was built, installed or fetched
	rm -rf $(VENV) .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer was not found: install it, or set PYTHON=/path/to/python"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(RUN): pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing packages into $(VENV) ..."
	@$(PIP) --editable .
	@touch $@

$(DEV): pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing packages for development into $(VENV) ..."
	@$(PIP) --editable '.[dev]'
	@touch $(RUN) $@
