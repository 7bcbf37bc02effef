# The newcomer's commands. Everything is installed into .venv, with the versions of constraints.txt.
PYTHON ?= python3
BIN := .venv/bin
# uv where it is on the path, which takes a tenth of pip's time; otherwise pip
UV := $(shell command -v uv)
PIP = $1/bin/python -m pip install --quiet --disable-pip-version-check
INSTALL = $(if $(UV),$(UV) pip install --quiet --python $1/bin/python,$(call PIP,$1))
PINNED = --constraint constraints.txt
# One thread of linear algebra in each of the two worker processes: more would only wait for each other.
PYTEST := OPENBLAS_NUM_THREADS=1 $(BIN)/python -m pytest -q
TWO := -n 2 --dist worksteal

# Where it is set, every process would compile all of groklab and of its tests again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test test-long test-costs coverage lint docs notebooks pictures bench fuzz bare interop clean

# Watch a one-layer transformer grok modular addition, and get its page. (two or three minutes the first time)
demo: .venv/demo.stamp
	$(BIN)/groklab train demo --report
	@echo
	@echo "groklab is in $(BIN); to have it on the path of this shell: source $(BIN)/activate"

# The whole test suite. (some five minutes; eight with empty caches) OPTIONS go to pytest: make test OPTIONS='-k sweep'
test: .venv/dev.stamp
	$(PYTEST) $(TWO) $(OPTIONS)

# The same, and which lines it runs; at least 96% of them.
coverage:
	$(MAKE) test OPTIONS="--cov=groklab --cov-report=term:skip-covered --cov-fail-under=96"

# What has no end: hundreds of kills, a crash at every write of a longer run, 10,000 cases of fuzzing.
test-long: .venv/dev.stamp
	GROKLAB_TEST_LONG=full $(PYTEST) $(TWO) -m long $(OPTIONS)

# What each test costs: seconds, processes, compilations, trainings.
test-costs: .venv/dev.stamp
	rm -rf .venv/costs
	PYTHONPATH=tests $(PYTEST) $(TWO) -p costs --costs=.venv/costs $(OPTIONS)
	$(BIN)/python tests/costs.py .venv/costs

# Style and types.
lint: .venv/dev.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The documentation site, in site/; warnings are errors. It runs the notebooks that have changed.
docs: .venv/docs.stamp
	$(BIN)/python docs/generate.py
	$(BIN)/python docs/notebooks.py
	$(BIN)/zensical build --clean --strict

# All example notebooks, from the beginning, with their outputs as pages of the documentation. (some three minutes)
notebooks: .venv/docs.stamp
	$(BIN)/python docs/notebooks.py --again

# The pictures of the documentation, in docs/assets/. (some four minutes)
pictures: .venv/docs.stamp
	$(BIN)/python docs/pictures.py

# Speed against peers and against this machine's own matrix-multiply rate. (~15 minutes)
bench: .venv/bench.stamp
	$(BIN)/python -m benchmarks

# Parser and reader through at least 10,000 cases each, and every command that reads through 1,000 altered folders of
# runs, sweeps and results. (some forty minutes)
fuzz: .venv/dev.stamp
	$(BIN)/python tests/fuzz/fuzz.py
	PYTHONPATH=tests $(BIN)/python tests/fuzz/folders.py

# A bare install, without extras and development tools, imports and trains.
bare:
	rm -rf .venv/bare && $(PYTHON) -m venv .venv/bare
	$(call INSTALL,.venv/bare) $(PINNED) .
	cd / && GROKLAB_HOME=$$(mktemp -d) $(CURDIR)/.venv/bare/bin/groklab train micro budget.steps=100 --quiet --json

# Exports in the real TransformerLens, its last version with HookedTransformer that we test and its newest, and back.
# (two minutes the first time; each has a virtualenv of its own, about 1.5 GB)
interop: .venv/dev.stamp .venv/tl3/stamp .venv/tl4/stamp
	rm -rf .venv/interop
	$(BIN)/python tests/interop/transformer_lens/prepare.py .venv/interop
	.venv/tl3/bin/python -W ignore tests/interop/transformer_lens/check.py .venv/interop
	.venv/tl4/bin/python -W ignore tests/interop/transformer_lens/check.py .venv/interop
	$(BIN)/python tests/interop/transformer_lens/prepare.py .venv/interop --return

clean:
	rm -rf .venv site

.venv/bin/python:
	$(PYTHON) -c 'import sys; sys.exit("groklab needs Python 3.11 or later" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv .venv

.venv/demo.stamp: pyproject.toml constraints.txt | .venv/bin/python
	@echo "installing groklab into .venv (once) …"
	$(call INSTALL,.venv) $(PINNED) --editable .
	@touch $@

.venv/dev.stamp: pyproject.toml constraints.txt | .venv/bin/python
	@echo "installing groklab and its development tools into .venv (once) …"
	$(call INSTALL,.venv) $(PINNED) --editable '.[dev]'
	@touch $@

.venv/docs.stamp: .venv/dev.stamp
	$(call INSTALL,.venv) $(PINNED) --editable '.[dev,docs]'
	@touch $@

.venv/bench.stamp: .venv/dev.stamp
	$(call INSTALL,.venv) $(PINNED) --editable '.[dev,bench]'
	@touch $@

# torch first, by pip and exactly this version: otherwise comes another, and with it gigabytes for graphics cards.
# Compiling all of it takes longer than what the checks import of it.
.venv/tl3/stamp: TRANSFORMER_LENS = 3.7.1
.venv/tl4/stamp: TRANSFORMER_LENS = 4.3.0
.venv/tl3/stamp .venv/tl4/stamp: | .venv/bin/python
	@echo "installing TransformerLens $(TRANSFORMER_LENS) into $(@D) (once) …"
	$(PYTHON) -m venv $(@D)
	$(call PIP,$(@D)) --no-compile torch==2.13.0
	$(call INSTALL,$(@D)) transformer-lens==$(TRANSFORMER_LENS)
	@touch $@
