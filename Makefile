# Every target works from a bare checkout: Python 3.11 or later, git and make are all it needs.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
# A process for each core; the tests of a file share their fixtures.
PARALLEL := -n auto --dist loadfile

.PHONY: help demo test check test-slow test-random test-lowest test-processors bench docs clean

help:  ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 20

# The stamp carries what was installed, so that a changed pin installs anew and a second run does nothing.
$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade --constraint constraints.txt pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[all]' --group dev --group docs
	@touch $@

demo: $(READY)  ## train on the embedded default for one minute, then write
	$(BIN)/python -m charloom train --minutes 1
	$(BIN)/python -m charloom eval
	$(BIN)/python -m charloom sample --temperature 0.3,0.8,1.0,1.3,1.8 --length 200 --prompt "The "

test: check  ## lint, types and the fast tests
	$(BIN)/python -m pytest $(PARALLEL)

check: $(READY)  ## lint and types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

test-slow: $(READY)  ## the long tests (about half an hour on two cores)
	$(BIN)/python -m pytest -m slow

test-random: $(READY)  ## the fast tests three times, in random order (the seed is printed)
	for i in 1 2 3; do $(BIN)/python -m pytest $(PARALLEL) -p randomly || exit 1; done

test-lowest:  ## the fast tests with every direct dependency at its lowest version
	$(PYTHON) -m venv .venv-lowest
	.venv-lowest/bin/python -m pip install --quiet --upgrade pip
	$(PYTHON) .github/lowest.py > .venv-lowest/constraints.txt
	.venv-lowest/bin/python -m pip install --quiet --constraint .venv-lowest/constraints.txt \
		--editable '.[all]' --group dev --group docs
	.venv-lowest/bin/python -m pytest $(PARALLEL)

test-processors: $(READY)  ## the runtime's tests on an emulated Haswell and ARM64
	$(BIN)/python tests/processors.py

bench: $(READY)  ## the tables of benchmarks/
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --group bench
	$(BIN)/python benchmarks/all.py

docs: $(READY)  ## the site, into docs/_build/html
	$(BIN)/python -m sphinx -q -W --keep-going docs docs/_build/html

clean:  ## remove what the other targets made
	rm -rf .venv .venv-lowest runs dist build docs/_build
