# One command per job; each sets up what it needs in .venv first. `make` alone lists them.
#
# Packages come from wherever pip on this machine is set to look, and must match
# the hashes in requirements/*.txt.

# Compiled modules are kept: every command would take a third longer to start.
unexport PYTHONDONTWRITEBYTECODE

PYTHON ?= $(shell for python in python3.11 python3 python3.12 python3.13 python3.14; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 \
	&& echo $$python && break; done)
HOST ?= 127.0.0.1
PORT ?= 8000

BIN := .venv/bin
MANAGE := $(BIN)/python manage.py
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-input --require-hashes
COMPILE := build/pins/bin/uv pip compile --quiet --generate-hashes --no-emit-index-url --no-header \
	--universal --python-version 3.11

.DEFAULT_GOAL := help
.PHONY: help setup demo test check serve bench bench-archive bench-replay bench-serve bench-extract bench-crash source docs pins

help: ## List these commands
	@echo "Usage: make COMMAND"
	@echo
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 15

setup: $(BIN)/.dev-stamp ## Create .venv with everything, install the commit hooks, migrate
	@git rev-parse --git-dir >/dev/null 2>&1 && $(BIN)/pre-commit install || true
	$(MANAGE) migrate --verbosity 0
	@echo "Ready. Next: make demo, or make serve."

demo: $(BIN)/.run-stamp ## Watch the whole walk on a bundled source, offline, then serve it
	$(MANAGE) demo $(ARGS)

test: $(BIN)/.dev-stamp ## Run the tests; ARGS="tests/raw_store -x" narrows them
	$(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder $(ARGS)

check: export ROOTCELLAR_HOME := build/check
check: $(BIN)/.dev-stamp ## Formatting, lint, types, layers, Django's checks, migrations, spelling
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy .
	$(BIN)/lint-imports --no-cache
	$(MANAGE) check --fail-level WARNING
	$(MANAGE) makemigrations --check --dry-run
	$(BIN)/codespell

serve: $(BIN)/.run-stamp ## Serve GraphQL and run the schedule; HOST and PORT say where
	$(MANAGE) migrate --verbosity 0
	$(BIN)/uvicorn etl.asgi:application --lifespan on --timeout-graceful-shutdown 5 \
		--host $(HOST) --port $(PORT)

bench: $(BIN)/.dev-stamp ## Run every bench/bench_*.py; results go to build/bench/
	@mkdir -p build/bench
	@for bench in bench/bench_*.py; do \
		test -e "$$bench" || { echo "bench/ holds no bench_*.py yet."; break; }; \
		name=$$(basename "$$bench" .py); echo "$$name"; \
		PYTHONPATH=. $(BIN)/python "$$bench" > "build/bench/$$name.json" || exit 1; \
		cat "build/bench/$$name.json"; \
	done; echo "Results are in build/bench/."

bench-archive: $(BIN)/.dev-stamp ## Measure the archive: size, speed, memory, look-ups; ARGS="--only sizes" narrows
	$(BIN)/python -m bench.archive $(ARGS)

bench-replay: $(BIN)/.dev-stamp build/peers/.stamp ## Measure a replay from archive to table, against other ways; ARGS="--only sqlite" narrows
	$(BIN)/python -m bench.replay $(ARGS)

bench-serve: $(BIN)/.dev-stamp build/peers/postgraphile/.stamp ## Measure GraphQL over HTTP, against PostGraphile and strawberry-django; needs npm
	$(BIN)/python -m bench.serve $(ARGS)

bench-extract: $(BIN)/.dev-stamp build/peers/.stamp ## Measure extraction against other ways to fetch, from nginx; ARGS="--rounds 1" narrows
	$(BIN)/python -m bench.extract $(ARGS)

bench-crash: $(BIN)/.dev-stamp ## Kill 2,000 processes at work and count what was lost; KILLS=500 for fewer
	$(BIN)/python -m bench.crash --kills $(or $(KILLS),2000) $(ARGS)

source: $(BIN)/.run-stamp ## Write the skeleton of a new source: make source NAME=weather
	@test -n "$(NAME)" || { echo "Name the source: make source NAME=weather"; exit 2; }
	$(MANAGE) startsource $(NAME)

docs: $(BIN)/.dev-stamp ## Check the docs: links, examples, every command and setting described
	$(BIN)/pytest tests/test_docs.py tests/test_readme.py tests/test_startsource.py

pins: build/pins/bin/uv ## Renew requirements/*.txt from the .in files (UPGRADE=--upgrade for newer)
	$(COMPILE) $(UPGRADE) requirements/run.in -o requirements/run.txt
	$(COMPILE) $(UPGRADE) requirements/dev.in -c requirements/run.txt -o requirements/dev.txt
	$(COMPILE) $(UPGRADE) requirements/peers.in -c requirements/run.txt -o requirements/peers.txt

# Set-up. A stamp is newer than its pins once they are installed.

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed and none was found." \
		"Install one, or name it: make PYTHON=/path/to/python3.11 ..."; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "$(PYTHON) cannot make virtual" \
		"environments. On Debian or Ubuntu: apt-get install python3-venv"; exit 1; }
	@echo "Creating .venv with $$($(PYTHON) --version) ..."
	@$(PYTHON) -m venv .venv

$(BIN)/.run-stamp: requirements/run.txt | $(BIN)/python
	@echo "Installing what the program needs (requirements/run.txt); about half a minute ..."
	@$(INSTALL) -r requirements/run.txt
	@touch $@

$(BIN)/.dev-stamp: requirements/dev.txt requirements/run.txt | $(BIN)/python
	@echo "Installing the program's and the developers' tools (requirements/dev.txt); about a minute ..."
	@$(INSTALL) -r requirements/dev.txt
	@touch $(BIN)/.run-stamp $@

build/peers/.stamp: requirements/peers.txt | $(BIN)/python
	@echo "Installing what benchmarks compare with (requirements/peers.txt) in build/peers ..."
	@$(BIN)/python -m venv build/peers
	@build/peers/bin/python -m pip install --quiet --disable-pip-version-check --no-input \
		--require-hashes -r $<
	@touch $@

build/peers/postgraphile/.stamp: bench/serve/postgraphile/package.json bench/serve/postgraphile/server.mjs
	@echo "Installing PostGraphile and its Node in build/peers/postgraphile ..."
	@mkdir -p $(@D)
	@cp $^ $(@D)
	@cd $(@D) && npm install --no-audit --no-fund --no-package-lock --silent
	@touch $@

build/pins/bin/uv:
	$(PYTHON) -m venv build/pins
	build/pins/bin/python -m pip install --quiet --disable-pip-version-check uv
