# One word for what is done often: make WORD. `make` alone lists them.
PYTHON ?= .venv/bin/python

.DEFAULT_GOAL := help
.PHONY: help install test lint docs figures fit speed release

help:  ## what there is
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 10

install:  ## an environment with everything a developer needs
	python3 -m venv .venv
	$(PYTHON) -m pip install -q -c constraints.txt -e '.[dev,measure,docs]'

test:  ## all tests
	$(PYTHON) -m pytest -q

lint:  ## style and types
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m mypy

docs:  ## the site; then: estimator docs
	$(PYTHON) -m sphinx -q -W --keep-going -j auto -d build/doctrees docs estimator/_docs

figures:  ## figures and pictures of the guides, README and CHANGELOG brought up to date
	$(PYTHON) docs/refresh.py --pictures
	$(PYTHON) benchmarks/moved.py

fit:  ## constants fitted anew to the measured runs, and the tables of their accuracy
	$(PYTHON) benchmarks/fit_training.py
	$(PYTHON) benchmarks/fit_serving.py
	$(PYTHON) benchmarks/fit_retrieval.py
	$(PYTHON) benchmarks/accuracy_training.py
	$(PYTHON) benchmarks/range_coverage.py

speed:  ## the table of docs/speed.md
	$(PYTHON) benchmarks/speed_table.py

release:  ## what a release must pass: site, wheel, every Python found
	$(PYTHON) benchmarks/release.py
