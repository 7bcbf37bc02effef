# The newcomer's commands. Everything is installed into .venv, with the versions of constraints.txt.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: demo test lint docs bench fuzz bare clean

# Watch a one-layer transformer grok modular addition, and get its page. (two or three minutes the first time)
demo: .venv/demo.stamp
	$(BIN)/groklab train demo --report

# The whole test suite.
test: .venv/dev.stamp
	$(BIN)/python -m pytest -n 2 --dist worksteal --cov=groklab --cov-report=term:skip-covered -q

# Style and types.
lint: .venv/dev.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The documentation site, in site/; warnings are errors.
docs: .venv/docs.stamp
	$(BIN)/python docs/generate.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

# Speed against peers and against this machine's own matrix-multiply rate. (~15 minutes)
bench: .venv/bench.stamp
	$(BIN)/python -m benchmarks

# Parser and reader through at least 10,000 cases each.
fuzz: .venv/dev.stamp
	$(BIN)/python tests/fuzz/fuzz.py

# A bare install, without extras and development tools, imports and trains.
bare:
	rm -rf .venv/bare && $(PYTHON) -m venv .venv/bare
	.venv/bare/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt .
	cd / && GROKLAB_HOME=$$(mktemp -d) $(CURDIR)/.venv/bare/bin/groklab train micro budget.steps=100 --quiet --json

clean:
	rm -rf .venv site

.venv/bin/python:
	$(PYTHON) -c 'import sys; sys.exit("groklab needs Python 3.11 or later" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv .venv

.venv/demo.stamp: pyproject.toml constraints.txt | .venv/bin/python
	@echo "installing groklab into .venv (once) …"
	$(PIP) --editable .
	@touch $@

.venv/dev.stamp: pyproject.toml constraints.txt | .venv/bin/python
	@echo "installing groklab and its development tools into .venv (once) …"
	$(PIP) --editable '.[dev]'
	@touch $@

.venv/docs.stamp: .venv/dev.stamp
	$(PIP) --editable '.[dev,docs]'
	@touch $@

.venv/bench.stamp: .venv/dev.stamp
	$(PIP) --editable '.[dev,bench]'
	@touch $@
