# `make demo` and `make test` are all the set-up there is: each makes the virtual
# environment it needs (.venv), installs into it, and runs.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
FAST := build/fast
# Finds the modules there before those that are installed, and so do its children.
COMPILED = PYTHONPATH=$(abspath $(FAST)) $(abspath $(BIN))/python
SANITIZED = LD_PRELOAD="$$(cc -print-file-name=libasan.so) $$(cc -print-file-name=libubsan.so)" \
    ASAN_OPTIONS=detect_leaks=0 PYTHONMALLOC=malloc

# Where `make wheels` looks: on the path (python3.12 of pyenv may be one that starts none), with pyenv, with uv.
PLACES = python$$version $${PYENV_ROOT:-$$HOME/.pyenv}/versions/$$version.*/bin/python \
    $${UV_PYTHON_INSTALL_DIR:-$$HOME/.local/share/uv/python}/cpython-$$version.*/bin/python

HEADS ?= 200000
PIECES ?= 20000
TALKS ?= 5000
# Tests on real sockets mostly wait: some classes of them go side by side, the longest (the faults) first, and nothing
# else beside them.
SIDE_BY_SIDE ?= --numprocesses 4 --dist loadscope --no-loadscope-reorder

# A pip that is there already serves the environment as well: making one takes half as long as all the rest.
# Modules are compiled when they are first used, not all that there are.
PIPS = $(shell $(PYTHON) -m pip --python $(PYTHON) --version >/dev/null 2>&1 && echo shared)
PIP = $(if $(PIPS),$(PYTHON) -m pip --python $(BIN)/python,$(BIN)/python -m pip) --disable-pip-version-check --quiet

# What is compiled at a first start is not compiled at every start.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo test test-system dev fast test-fast check-fast faults-fast wheels bench faults soak fuzz fuzz-native clean

help:
	@echo "make demo    watch the proxy balance three small origins"
	@echo "make test    run the tests"
	@echo "make dev     install everything a developer needs into $(VENV)"
	@echo "make fast    a compiled build in build/fast; the checkout stays pure Python"
	@echo "make test-fast, make faults-fast  the tests, the faults on a compiled build"
	@echo "make wheels  wheels in dist: compiled ones for each Python found, and the pure one"
	@echo "make bench   run benchmarks/*.py, or those that BENCH names"
	@echo "make faults  break the running proxy in every way we know, in minutes"
	@echo "make soak    the same in full size"
	@echo "make fuzz    100,000 mutated inputs with a canary beside them"
	@echo "make fuzz-native  the extensions in C with the sanitizers of the C compiler"
	@echo "make clean   remove what the above made"

demo: $(VENV)/.installed
	$(BIN)/twistd --nodaemon --pidfile= --reactor=lolly lolly

test: $(VENV)/.installed-test
ifdef PYTEST_ARGS
	$(BIN)/python -m pytest $(PYTEST_ARGS)
else
	$(BIN)/python -m pytest --numprocesses auto --quiet --ignore tests/system
	$(MAKE) test-system
endif

test-system: $(VENV)/.installed-test
	$(BIN)/python -m pytest $(SIDE_BY_SIDE) --quiet tests/system

dev: $(VENV)/.installed-dev

# A copy of the checkout, so that no compiled module ever shadows its source here.
fast: $(VENV)/.installed-dev
	@mkdir -p $(FAST)
	@find $(FAST) -path $(FAST)/build -prune -o -name '*.so' -exec rm -f {} +
	@tar -cf - --exclude=./.git --exclude='./.venv*' --exclude=./build --exclude=./dist --exclude='.*_cache' --exclude=__pycache__ --exclude=.hypothesis . | tar -xf - -C $(FAST)
	cd $(FAST) && LOLLY_COMPILE=1 $(abspath $(BIN))/python setup.py --quiet build_ext --inplace
	@$(COMPILED) -P -m lolly_tx.cli --version

test-fast: fast
	$(MAKE) check-fast

# The same on what is compiled already.
check-fast:
	cd $(FAST) && $(COMPILED) -m pytest --numprocesses auto --quiet --ignore tests/system
	cd $(FAST) && $(COMPILED) -m pytest $(SIDE_BY_SIDE) --quiet tests/system

faults-fast: fast
	cd $(FAST) && $(COMPILED) -m tests.system.faults

wheels: $(VENV)/.installed-dev
	rm -rf build/bdist* build/lib*
	$(BIN)/python -m build --outdir dist .
	@for version in 3.11 3.12 3.13 3.14; do \
	    found=; \
	    for each in $(PLACES); do $$each -c 'import ensurepip' 2>/dev/null && { found=$$each; break; }; done; \
	    [ "$$found" ] || { echo "no python$$version here: no compiled wheel for it"; continue; }; \
	    $$found -m venv build/wheels-$$version && \
	    LOLLY_COMPILE=1 build/wheels-$$version/bin/python -m pip --quiet wheel --no-deps --wheel-dir dist . || exit 1; \
	done
	@ls dist

bench: $(VENV)/.installed
	@for script in $(or $(BENCH),benchmarks/*.py); do \
	    echo "== $$script"; PYTHONPATH=. $(BIN)/python $$script || exit 1; \
	done

faults: $(VENV)/.installed-test
	$(BIN)/python -m tests.system.faults

soak: $(VENV)/.installed-test
	$(BIN)/python -m tests.system.faults --long

fuzz: $(VENV)/.installed-test
	$(BIN)/python -m tests.wire.fuzz_hpack
	$(BIN)/python -m tests.wire.fuzz_heads
	$(BIN)/python -m tests.system.fuzz --inputs 100000

# A read beyond a head is seen only where each head is an allocation of its own.
fuzz-native: $(VENV)/.installed-test
	$(SANITIZED) $(BIN)/python -m tests.wire.fuzz_heads --sanitize --heads $(HEADS)
	$(SANITIZED) $(BIN)/python -m tests.wire.fuzz_blocks --sanitize --talks $(TALKS)
	$(SANITIZED) $(BIN)/python -m tests.net.fuzz_descriptors --sanitize --pieces $(PIECES)

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "lolly_tx needs Python 3.11 or newer")'
	$(PYTHON) -m venv $(if $(PIPS),--without-pip) $(VENV)

# The stamps are younger than what they were made from.
$(VENV)/.installed: $(BIN)/python setup.cfg pyproject.toml
	@echo "Installing lolly_tx into $(VENV) ..."
	@$(PIP) install --no-compile --editable .
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
