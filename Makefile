# `make run` and `make test` do all of their own set-up; a second start does nothing that the first one did.

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input
NEW_ENOUGH := import sys; sys.exit(sys.version_info < (3, 11))

ifndef PYTHON
PYTHON := $(shell for python in python3 python3.13 python3.12 python3.11 python; do \
	"$$python" -c '$(NEW_ENOUGH)' 2>/dev/null && echo "$$python" && break; done)
endif

# files that are served in a compressed form, which the build makes anew when they change
SERVED := $(shell find static -type f -not -path 'static/vendor/*' -not -path 'static/compressed/*')

# somebody removed the assets: bring them again although nothing else has changed
ifneq ($(words $(wildcard static/vendor/.made-from static/compressed/.made-from)),2)
.PHONY: $(VENV)/.package
endif

.PHONY: help run test check bench lock clean
.DEFAULT_GOAL := help

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-7s %s\n", $$1, $$2}' Makefile

run: $(VENV)/.runtime $(VENV)/.package ## Start the dashboard, everything it needs included (HOST, PORT, DATA_DIR, DATABASE_URL)
	@exec $(BIN)/dashboard run

test: $(VENV)/.dev $(VENV)/.package ## Run make check and every test, in a browser too
	@$(MAKE) --no-print-directory check
	@$(BIN)/python tests/browser/chromium.py >/dev/null
	$(BIN)/pytest -n auto tests

check: $(VENV)/.dev $(VENV)/.package ## Run the linter, the type checker and the guard that migrations match the models
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict dashboard
	$(BIN)/pytest -q tests/guards/test_migrations.py

bench: $(VENV)/.dev $(VENV)/.package ## Measure speed and growth (BENCH_SIZES=1000,100000,1000000 BENCH_ONLY=preview,patch; BENCH_WRITE=1: into docs/)
	@$(BIN)/python -m tests.benchmarks

lock: $(VENV)/.dev ## Write the lock files again (UPGRADE=1: with the newest versions allowed)
	$(call compile,requirements.lock,)
	$(call compile,requirements-dev.lock,--extra dev --extra oidc -c requirements.lock)
	npm $(if $(UPGRADE),update,install) --package-lock-only --ignore-scripts

compile = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	--custom-compile-command "make lock" $(if $(UPGRADE),--upgrade) $(2) --output-file $(1) pyproject.toml

clean: ## Remove what was installed and built; the data in DATA_DIR stay
	rm -rf $(VENV) static/vendor static/compressed dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis test-results

$(VENV)/.made:
	@"$(PYTHON)" -c '$(NEW_ENOUGH)' || { echo "Python 3.11 or later is needed: make PYTHON=/path/to/python3" >&2; exit 1; }
	"$(PYTHON)" -m venv $(VENV)
	@touch $@

$(VENV)/.runtime: requirements.lock $(VENV)/.made
	$(PIP) install --quiet --require-hashes -r requirements.lock
	@touch $@

$(VENV)/.dev: requirements-dev.lock $(VENV)/.made
	$(PIP) install --quiet --require-hashes -r requirements-dev.lock
	@touch $@

# the build brings the front-end files too
$(VENV)/.package: pyproject.toml build_assets.py package.json package-lock.json .npmrc $(SERVED) $(VENV)/.made
	$(PIP) install --quiet --no-deps --editable .
	@touch $@
