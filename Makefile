# Needs only Python >= 3.11 (PYTHON=… names another one), pip and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
OUT ?= demo

.PHONY: demo check test optimized matrix lint types format coverage bench docs clean help

help:  ## What there is to make
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1\t\2/' | expand -t 20

$(READY): pyproject.toml .ci/install.py
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed; name one with make PYTHON=…")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python .ci/install.py
	touch $@

demo: $(READY)  ## Generate 24 conversations with a real small model into ./demo
	$(BIN)/python .ci/demo.py $(OUT)

# Two processes; the tests that share an engine run in one of them.
PYTEST := $(BIN)/python -m pytest -n 2 --dist loadgroup

check: lint types  ## Check style, types, docs and all tests that run no model
	$(PYTEST) -m "not engine"

test: $(READY)  ## Run every test
	$(PYTEST)

optimized: $(READY)  ## Run the tests of check without the package's asserts (python -O)
	PYTHONOPTIMIZE=1 $(PYTEST) -m "not engine"

matrix: $(READY)  ## Run the builder's tests on older versions of datasets
	$(BIN)/python .ci/matrix.py

lint: $(READY)  ## Check style, and that no import runs up a floor
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: $(READY)  ## Check types
	$(BIN)/mypy

format: $(READY)  ## Put the code into shape
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

coverage: $(READY)  ## Run every test and show what they reach
	$(BIN)/python -m pytest --cov --cov-report=term-missing

docs: $(READY)  ## Write the generated parts of the docs
	$(BIN)/python docs/generate.py

bench: $(READY)  ## Measure everything, about an hour; writes benchmarks/README.md
	$(BIN)/python benchmarks/report.py

clean:  ## Remove the environment and what was built
	rm -rf $(VENV) demo dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
