# make install  creates .venv and installs the package into it
# make demo     the same, and shows VideoJAM at work
# make test     the same, with what tests need, and runs the tests
# make study    tables and pictures of docs/study-premise.md from the kept curves and verdicts (its page has the trainings' commands)
# make site     the documentation site, from the Markdown of docs/, into build/site
# make lint     ruff, mypy, import-linter, codespell
#
# make coverage     the tests, and which lines no test runs
# make test-sdist   the tests from the unpacked source distribution
# make test-lowest  the tests with the lowest versions that pyproject.toml allows, in a venv of their own (6 GB)
# make test-newest  the tests with the newest released versions, in a venv of their own (6 GB)
#
# PYTHON=python3.12 chooses the interpreter; PIP_ARGS="…" is passed to pip (for instance an index with CPU wheels).

PYTHON ?= python3
VENV ?= .venv
PIP_ARGS ?=
DEMO_OUT ?= out/demo
BIN := $(VENV)/bin
PYTEST := pytest -n auto --dist loadfile --no-loadscope-reorder

.PHONY: help install install-dev demo test coverage test-sdist test-lowest test-newest study site lint clean
.DEFAULT_GOAL := help

help:
	@sed -n '/^#/!q;s/^# \{0,1\}//p' Makefile

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "videojam needs Python 3.11 or newer, found " + sys.version.split()[0] + "; try make PYTHON=python3.12 …")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"

$(VENV)/.installed: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet $(PIP_ARGS) -e .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet $(PIP_ARGS) -e . --group dev
	@touch $@

install: $(VENV)/.installed
install-dev: $(VENV)/.installed-dev

demo: $(VENV)/.installed
	$(BIN)/videojam demo --out $(DEMO_OUT)
	@page="$(CURDIR)/$(DEMO_OUT)/index.html"; \
	if [ "$$(uname)" = Darwin ]; then open "$$page"; \
	elif [ -n "$${DISPLAY:-}$${WAYLAND_DISPLAY:-}" ] && command -v xdg-open >/dev/null; then xdg-open "$$page"; \
	else echo "Open this page in a browser: $$page"; fi

test: $(VENV)/.installed-dev
	$(BIN)/$(PYTEST)

coverage: $(VENV)/.installed-dev
	$(BIN)/$(PYTEST) --cov --cov-report=term-missing:skip-covered

test-sdist: $(VENV)/.installed-dev
	rm -rf build/sdist
	$(BIN)/hatchling build --target sdist --directory build/sdist
	tar --extract --gzip --file build/sdist/*.tar.gz --strip-components 1 --directory build/sdist
	cd build/sdist && PYTHONPATH=src $(abspath $(BIN))/$(PYTEST)

# $(1): name of the venv beside $(VENV); $(2): pip's choice of versions
define test-with
$(PYTHON) -m venv $(VENV)-$(1)
$(VENV)-$(1)/bin/python -m pip install --quiet --upgrade "pip>=25.1"
$(VENV)-$(1)/bin/python .ci/lowest.py > $(VENV)-$(1)/lowest.txt
$(VENV)-$(1)/bin/python -m pip install --quiet $(PIP_ARGS) $(2) -e . --group test
$(VENV)-$(1)/bin/$(PYTEST)
endef

test-lowest: $(BIN)/python
	$(call test-with,lowest,--constraint $(VENV)-lowest/lowest.txt)

test-newest: $(BIN)/python
	$(call test-with,newest,--upgrade --upgrade-strategy eager)

study: $(VENV)/.installed-dev
	$(BIN)/python -m studies.premise.results
	$(BIN)/python -m studies.premise.picture

site: $(VENV)/.installed-dev
	$(BIN)/sphinx-build --quiet --fail-on-warning --keep-going docs build/site
	@echo "Open this page in a browser: $(CURDIR)/build/site/index.html"

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/codespell

clean:
	rm -rf $(VENV) $(VENV)-lowest $(VENV)-newest build out
