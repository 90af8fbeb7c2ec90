# `make`       set up what is needed in .venv, then run everything on the embedded suite; ends with the path of the report
# `make trial` the randomized trial of training order and memorization: fifteen more models (config-trial.yaml); may take an hour
# `make test`  the same environment, with what the tests need, and all tests
# `make lint`  formatting, lint and types alone
# `make lock`  derive envs/ from pyproject.toml (needs uv); add UPGRADE=1 for newer versions
# `make clean` remove the environment, caches and the embedded suites' results
#
# Variables: CORES (all), PYTHON (the first of python3, python3.13, … that is 3.11 or later).

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
.DELETE_ON_ERROR:
.PHONY: run trial test lint lock clean

VENV := .venv
BIN := $(VENV)/bin
CORES ?= all
OLD_ENOUGH := import sys; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do if $$p -c '$(OLD_ENOUGH)' 2> /dev/null; then echo $$p; break; fi; done)

run: $(VENV)/.ready
	@$(BIN)/snakemake --cores $(CORES) --workflow-profile workflow/profiles/local --config suite=nano
	echo "The report: results/nano/report.html"

trial: $(VENV)/.ready
	@$(BIN)/snakemake --cores $(CORES) --workflow-profile workflow/profiles/local --configfile config-trial.yaml
	echo "The report: results/nano-trial/report.html"

test: $(VENV)/.ready-for-tests
	@$(BIN)/python -m pytest -n $$($(BIN)/python -c "import os; print((os.cpu_count() or 1) + 1)") --dist loadgroup $(ARGS)

lint: $(VENV)/.ready-for-tests
	@$(BIN)/python -m pytest -q tests/test_lint.py

lock:
	@python3 envs/lock.py $(if $(UPGRADE),--upgrade)

clean:
	@rm -rf $(VENV) .snakemake results/nano results/nano-trial .pytest_cache .ruff_cache .mypy_cache .hypothesis workflow/src/*.egg-info

# $(call install,what it is for,requirements): one line that says how far pip is, and pip's complaints if there are any
define install
	echo "Setting up $(1) in $(VENV), once (a few minutes) ..."
	total=$$(grep -c == $(2))
	$(BIN)/python -m pip install --disable-pip-version-check -r $(2) | awk -v total=$$total \
		'/^Collecting|already satisfied/ { printf "\r  %d of some %d packages\033[K", ++n, total; fflush() } /^Installing/ { printf "\r  installing ...\033[K"; fflush() } END { print "" }'
endef

$(VENV)/.python:
	@if [ -z "$(PYTHON)" ] || ! "$(PYTHON)" -c '$(OLD_ENOUGH)'; then
		echo "Python 3.11 or later is needed; found: $$($(or $(PYTHON),python3) --version 2>&1 || echo none). Install one, or name it: make PYTHON=/path/to/python" >&2
		exit 1
	fi
	if ! "$(PYTHON)" -m venv --clear $(VENV); then
		echo "Python's module 'venv' is needed (on Debian and Ubuntu: apt install python3-venv)." >&2
		exit 1
	fi
	touch $@

$(VENV)/.ready: envs/requirements.txt pyproject.toml | $(VENV)/.python
	@$(call install,Snakemake and the libraries,envs/requirements.txt)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

$(VENV)/.ready-for-tests: envs/requirements-test.txt $(VENV)/.ready
	@$(call install,what the tests need,envs/requirements-test.txt)
	touch $@
