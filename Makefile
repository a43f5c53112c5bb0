# Handrail's shortest way in. Needs make and Python 3.11 or newer; everything else goes to .venv.
# Arguments pass through:  make sim ARGS="task=reach seed=3"     make test ARGS="tests/unit -k guard"

SHELL := /bin/sh
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help sim test faults soak check format setup hooks clean

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
# Read by a shell, not by make: the variables matter only to what the recipe starts.
RENDERING := set -a; . ./$(VENV)/rendering.env; set +a;
CAMERAS := set -a; . ./$(VENV)/cameras.env; set +a;
# Empty: the first of python3, python3.13, python3.12, python3.11 that is new enough.
PYTHON ?=
ARGS ?=
# Whole files go to one worker, so that module fixtures (a MuJoCo model, a jitted step) are built once, in the order of
# tests/conftest.py; 0: in-process.
WORKERS ?= 2
# Of `make soak`; 60 every night, 1440 before a release.
MINUTES ?= 5

help:  ## this text
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 16

sim: $(VENV)/.installed-sim $(VENV)/rendering.env  ## install, then watch a simulated arm learn to pick up a cube (no GPU needed)
	@$(RENDERING) if [ "$${HANDRAIL_RENDERING:-}" = none ]; then \
	    echo "Nothing renders on this machine (see '$(BIN)/handrail doctor'): learning from states, not from pixels."; \
	    exec $(BIN)/handrail sim obs=state $(ARGS); \
	else exec $(BIN)/handrail sim $(ARGS); fi

test: $(VENV)/.installed-dev $(VENV)/rendering.env $(VENV)/cameras.env  ## run the tests
	@$(RENDERING) $(CAMERAS) exec $(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder $(ARGS)

faults: $(VENV)/.installed-dev $(VENV)/rendering.env  ## kill, cut, tear and fuzz a thousand times more often than `make test` does: an hour or two
	@$(RENDERING) HANDRAIL_FAULTS=nightly exec $(BIN)/python -m pytest --numprocesses 0 -s $(ARGS) \
	    $(wildcard tests/faults tests/fuzz)

soak: $(VENV)/.installed-dev  ## the link for MINUTES=5 on end: memory, descriptors, threads and disk stay as they are
	@PYTHONPATH=. exec $(BIN)/python tests/soak/soak.py --minutes $(MINUTES)

check: $(VENV)/.installed-dev  ## style, types and import directions, in under a minute
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/pyright --pythonpath $(BIN)/python
	@$(BIN)/lint-imports --no-cache

format: $(VENV)/.installed-dev  ## put the code in shape
	@$(BIN)/ruff check --fix
	@$(BIN)/ruff format

setup: $(VENV)/.installed-dev $(VENV)/rendering.env $(VENV)/cameras.env  ## install everything a contributor needs, run nothing
	@echo "Ready. The command is $(BIN)/handrail; 'make hooks' checks every commit."

hooks: $(VENV)/.installed-dev  ## check every git commit before it is made
	@$(BIN)/pre-commit install

clean:  ## remove the environment and caches; runs/ stays
	rm -rf $(VENV) .gl .usb build *.egg-info .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -not -path './runs/*' -prune -exec rm -rf {} +

$(BIN)/python:
	@sh scripts/make_venv.sh $(VENV) $(PYTHON)

# Installed again only when the requirements change; the dev extra contains what sim needs.
$(VENV)/.installed-sim: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing the simulation, learner and actor into $(VENV): 1.1 GB, a minute or two."
	@$(PIP) --editable '.[actor,sim,learner]'
	@touch $@

$(VENV)/.installed-dev: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing everything for development into $(VENV): 2.8 GB, a minute or two."
	@$(PIP) --editable '.[dev]'
	@touch $@ $(VENV)/.installed-sim

# Probed once per environment. `rm .venv/rendering.env` after a change of drivers.
$(VENV)/rendering.env: scripts/setup_rendering.py scripts/debian.py | $(VENV)/.installed-sim
	@$(BIN)/python scripts/setup_rendering.py --out $@

# `rm .venv/cameras.env` after installing libusb.
$(VENV)/cameras.env: scripts/setup_cameras.py scripts/debian.py | $(VENV)/.installed-dev
	@$(BIN)/python scripts/setup_cameras.py --out $@
