# Everything a contributor needs; `make` alone lists it.
UV_VERSION := 0.13.8
BIN := .venv/bin
READY := .venv/.ready
ARGS ?=
export UV_PROJECT_ENVIRONMENT := .venv
export UV_PYTHON_DOWNLOADS := never

.DEFAULT_GOAL := help
.PHONY: help setup demo demo-fleet test coverage check bench docs soak chaos

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY) ## install everything into .venv (quick when nothing changed)

demo: $(READY) ## watch a team of agents diagnose a faulty system on this machine
	@$(BIN)/python examples/demo/main.py $(ARGS)

demo-fleet: $(READY) ## watch a fleet of workers lose one of them, and none of its work
	@$(BIN)/python examples/fleet/main.py $(ARGS)

test: $(READY) ## run every test
	@$(BIN)/python -m pytest -q -n 3 --dist worksteal $(ARGS)

coverage: $(READY) ## run every test and count lines: at least 90 % of them (takes half as long again)
	@$(BIN)/python -m pytest -q -n 3 --dist worksteal --cov --cov-report=term:skip-covered $(ARGS)

check: $(READY) ## format, lint, strict types, shape of the house
	@$(BIN)/ruff format --check . && $(BIN)/ruff check . && $(BIN)/basedpyright && $(BIN)/python -m pytest -q tests/house

bench: $(READY) ## measure calls, time, memory, import cost, the record, the gateway, the bus, telemetry, the server, workflows and councils
	@for part in run record gateway bus telemetry server workflows council; do $(BIN)/python benchmarks/$$part.py $(ARGS) || exit 1; done

docs: $(READY) ## regenerate the reference pages, then test every page
	@$(BIN)/python scripts/build_docs.py && $(BIN)/python -m pytest -q tests/docs

soak: $(READY) ## run for minutes and watch memory, tasks and files
	@$(BIN)/python -m pytest -q -m soak --timeout 7200 $(ARGS)

chaos: $(READY) ## kill, pause and cut real processes
	@$(BIN)/python -m pytest -q -m chaos --timeout 3600 $(ARGS)

$(READY): pyproject.toml uv.lock $(BIN)/uv
	@$(BIN)/uv sync --frozen --extra all --compile-bytecode --quiet && touch $@

$(BIN)/uv:
	@python3 -m venv .venv && $(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
