# Everything that one does with a checkout. `make help` lists it.
# On a new machine each target first sets up what it needs: .venv, and the servers' binaries in the user's cache.

PYTHON ?= python3
SET_UP := @$(PYTHON) -m sandbox.toolchain
RUN := $(SET_UP) run --
RUN_PYTHON := $(SET_UP) run --python-only --

.DEFAULT_GOAL := help
.PHONY: help setup up preview refresh destroy down env status logs drill policy test check bench

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { gsub(/[$$][$$]/, "$$", $$2); printf "  make %-9s %s\n", $$1, $$2 }' Makefile

setup: ## install the Python packages and build the servers' binaries (the other targets do what they need of it)
	$(SET_UP) setup

up: ## start the sandbox, deploy the dev stack, show what it delivered (ENGINE=pulumi: with the Pulumi CLI)
	$(RUN) -m sandbox up

preview: ## show what `make up` would change
	$(RUN) -m sandbox preview

refresh: ## read what is really there into the stack's state
	$(RUN) -m sandbox refresh

destroy: ## remove what the stack made; the servers stay
	$(RUN) -m sandbox destroy

down: ## stop the sandbox and remove all that it kept
	$(RUN_PYTHON) -m sandbox down

env: ## print the exports for kubectl, bao, aws and psql: eval "$$(make -s env)"
	$(RUN_PYTHON) -m sandbox env

status: ## which server runs, where, and since when
	$(RUN_PYTHON) -m sandbox status

logs: ## print the servers' logs (SERVER=name: of one)
	$(RUN_PYTHON) -m sandbox logs $(SERVER)

drill: ## rotate every credential under load and count failed requests (ARGS=...)
	$(RUN) -m sandbox drill $(ARGS)

policy: ## check dev, staging and production against the policies; needs no server (ARGS=...)
	$(RUN_PYTHON) -m sandbox policy $(ARGS)

test: setup check ## run the checks and every test (ARGS=... for pytest)
	$(RUN) -m pytest --durations=15 --durations-min=1 $(ARGS)

check: ## lint, format, types and import rules
	$(RUN_PYTHON) -m ruff check .
	$(RUN_PYTHON) -m ruff format --check .
	$(RUN_PYTHON) -m mypy
	$(RUN_PYTHON) -c 'import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports())'

bench: setup ## measure the engine, the rotation and the policies
	$(RUN) -m tests.bench.engine
	$(RUN) -m tests.bench.rotation
	$(RUN) -m tests.bench.policies
