# `make demo` and `make test` are all the set-up there is: each makes the virtual
# environment it needs (.venv), installs into it, and runs.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

.PHONY: help demo test dev bench faults soak fuzz clean

help:
	@echo "make demo    watch the proxy balance three small origins"
	@echo "make test    run the tests"
	@echo "make dev     install everything a developer needs into $(VENV)"
	@echo "make bench   run benchmarks/*.py, or those that BENCH names"
	@echo "make faults  break the running proxy in every way we know, in minutes"
	@echo "make soak    the same in full size"
	@echo "make fuzz    100,000 mutated inputs with a canary beside them"
	@echo "make clean   remove what the above made"

demo: $(VENV)/.installed
	$(BIN)/twistd --nodaemon --pidfile= --reactor=lolly lolly

# Those on real sockets have the machine to themselves; all others share it.
test: $(VENV)/.installed-test
ifdef PYTEST_ARGS
	$(BIN)/python -m pytest $(PYTEST_ARGS)
else
	$(BIN)/python -m pytest --numprocesses auto --quiet --ignore tests/system
	$(BIN)/python -m pytest --quiet tests/system
endif

dev: $(VENV)/.installed-dev

bench: $(VENV)/.installed
	@for script in $(or $(BENCH),benchmarks/*.py); do \
	    echo "== $$script"; $(BIN)/python $$script || exit 1; \
	done

faults: $(VENV)/.installed-test
	$(BIN)/python -m tests.system.faults

soak: $(VENV)/.installed-test
	$(BIN)/python -m tests.system.faults --long

fuzz: $(VENV)/.installed-test
	$(BIN)/python -m tests.wire.fuzz_hpack
	$(BIN)/python -m tests.system.fuzz --inputs 100000

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "lolly_tx needs Python 3.11 or newer")'
	$(PYTHON) -m venv $(VENV)

# The stamps are younger than what they were made from.
$(VENV)/.installed: $(BIN)/python setup.cfg pyproject.toml
	@echo "Installing lolly_tx into $(VENV) ..."
	@$(PIP) install --editable .
	@touch $@

$(VENV)/.installed-test: $(BIN)/python setup.cfg pyproject.toml
	@echo "Installing lolly_tx and its test tools into $(VENV) ..."
	@$(PIP) install --editable '.[test]'
	@touch $(VENV)/.installed $@

$(VENV)/.installed-dev: $(BIN)/python setup.cfg pyproject.toml
	@echo "Installing lolly_tx and its development tools into $(VENV) ..."
	@$(PIP) install --editable '.[dev]'
	@touch $(VENV)/.installed $(VENV)/.installed-test $@

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache \
	    .hypothesis .import_linter_cache .coverage _trial_temp* tests.*/ \
	    twisted/plugins/dropin.cache
	find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +
