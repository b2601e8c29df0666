# make run: the main job; make test: everything CI checks. Both start from nothing but Python 3.11 to 3.13.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
ARGS ?=

.PHONY: run test check pytest docs clean

run: $(VENV)/.installed
	$(BIN)/python simulations/run.py --clients 100 $(ARGS)

test: check pytest

check: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# one thread each, and no processes of their own for audits: there are two already, for two cores
pytest: $(VENV)/.installed
ifeq ($(strip $(ARGS)),)
	OMP_NUM_THREADS=1 LOKY_MAX_CPU_COUNT=1 $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m "not alone"
	$(BIN)/python -m pytest -m alone
else
	$(BIN)/python -m pytest $(ARGS)
endif

# torch first and alone: its CPU wheel, before anything else can ask for another build
$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

docs: $(VENV)/.installed
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

clean:
	rm -rf site $(VENV) build dist *.egg-info
