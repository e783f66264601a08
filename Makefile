# Every target prepares .venv first, so a fresh clone needs nothing but Python 3.11+ and make.
.DEFAULT_GOAL := help
SHELL := /bin/sh
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin
STAMP := $(VENV)/.installed

help: ## list the targets
	@printf 'Haulway. Start with: make demo\n\n'
	@grep -E '^[a-z-]+:.*## ' Makefile | sed -E 's/^([a-z-]+):.*## (.*)/  make \1|\2/' | column -t -s '|'

install: $(STAMP) ## prepare .venv with every pinned package (fetches uv where it is missing)

$(STAMP): requirements-dev.lock
	@test -x $(RUN)/python || $(PYTHON) -m venv $(VENV) || { echo "No virtual environment could be made: install python3-venv."; exit 1; }
	@if command -v uv >/dev/null 2>&1; then \
		VIRTUAL_ENV=$(CURDIR)/$(VENV) uv pip sync --quiet --require-hashes requirements-dev.lock; \
	else \
		grep -A99 '^uv==' requirements-dev.lock | sed '1p;/^    --hash/p;/^    # via/q' -n > $(VENV)/uv.lock && \
		$(RUN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $(VENV)/uv.lock && \
		VIRTUAL_ENV=$(CURDIR)/$(VENV) $(RUN)/uv pip sync --quiet --require-hashes requirements-dev.lock; \
	fi
	@touch $(STAMP)

up: install ## run the whole platform here: Postgres, Valkey, web, workers, dispatchers, Flower
	@$(RUN)/python manage.py up

demo: install ## watch a download and jobs of every priority go through the platform
	@$(RUN)/python manage.py demo

test: install ## run the tests against servers of their own
	@$(RUN)/python -m pytest

lint: install ## ruff, mypy and the import contracts
	@$(RUN)/ruff check .
	@$(RUN)/ruff format --check .
	@$(RUN)/mypy
	@$(RUN)/lint-imports

format: install ## let ruff put the code in order
	@$(RUN)/ruff check --fix .
	@$(RUN)/ruff format .

lock: install ## pin the newest packages that pyproject.toml admits
	@$(RUN)/uv pip compile --quiet --upgrade --universal --generate-hashes --custom-compile-command "make lock" pyproject.toml -o requirements.lock
	@$(RUN)/uv pip compile --quiet --upgrade --universal --generate-hashes --custom-compile-command "make lock" --all-extras --group dev pyproject.toml -o requirements-dev.lock

clean: ## remove the environment and all local data
	rm -rf $(VENV) .data .mypy_cache .ruff_cache .pytest_cache .hypothesis

.PHONY: help install up demo test lint format lock clean
