# Every target prepares .venv first, so a fresh clone needs nothing but Python 3.11+ and make.
# Options for `up` and `demo` go into ARGS: make up ARGS='--port 9000', make demo ARGS=--keep.
.DEFAULT_GOAL := help
SHELL := /bin/sh
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin
STAMP := $(VENV)/.installed

help: ## list the targets
	@printf 'Haulway. Start with: make demo\n\n'
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s%s\n", $$1, $$2 }' Makefile

install: $(STAMP) ## prepare .venv with every pinned package (fetches uv where it is missing)

# uv installs everything else. Where it is not at hand, pip fetches the pinned one into .venv.
$(STAMP): requirements-dev.lock requirements-uv.lock
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || { echo "Haulway needs Python 3.11, 3.12 or 3.13. Name one: make install PYTHON=python3.12"; exit 1; }
	@test -x $(RUN)/python || $(PYTHON) -m venv $(VENV) || { echo "No virtual environment could be made: install python3-venv."; exit 1; }
	@command -v uv >/dev/null || $(RUN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-uv.lock
	@PATH="$$PATH:$(CURDIR)/$(RUN)" uv pip sync --quiet --compile-bytecode --python $(RUN)/python --require-hashes requirements-dev.lock
	@touch $(STAMP)

up: install ## run the whole platform here: Postgres, Valkey, web, workers, dispatchers, Flower
	@$(RUN)/python manage.py up --with-parent $(ARGS)

demo: install ## watch a download and jobs of every priority go through the platform
	@$(RUN)/python manage.py demo $(ARGS)

# Tests wait for processes more than they compute, so two runs share a small machine well.
TEST_PROCESSES ?= 2
test: install deploy-tools ## run the tests against servers of their own; SERVERS=debian or pgbouncer: Debian's
	@HAULWAY_TEST_SERVERS=$(SERVERS) $(RUN)/python -m pytest --numprocesses $(TEST_PROCESSES) --dist loadfile $(TEST_FLAGS)

# The peers have an environment of their own: nothing of theirs comes near Haulway's.
bench-downloads: install ## compare with other downloaders (they come from Debian: aria2 axel wget2 curl nginx-light openssl)
	@$(RUN)/python -m tests.benchmarks.downloads $(BENCH_FLAGS)

BENCH := .venv-bench
bench: install ## compare with other job systems on one machine; BENCH_FLAGS="--help" lists what can be chosen
	@test -x $(BENCH)/bin/python || $(RUN)/python -m venv --without-pip $(BENCH)
	@PATH="$$PATH:$(CURDIR)/$(RUN)" uv pip sync --quiet --python $(BENCH)/bin/python --require-hashes requirements-bench.lock
	@$(BENCH)/bin/python -m tests.benchmarks.jobs $(BENCH_FLAGS)

DEPLOY := .venv-deploy
deploy-tools: $(DEPLOY)/.installed ## prepare what judges the files under deploy/
$(DEPLOY)/.installed: $(STAMP) requirements-deploy.lock tests/deploy/install.py
	@test -x $(DEPLOY)/bin/python || $(RUN)/python -m venv --without-pip $(DEPLOY)
	@PATH="$$PATH:$(CURDIR)/$(RUN)" uv pip sync --quiet --python $(DEPLOY)/bin/python --require-hashes requirements-deploy.lock
	@$(DEPLOY)/bin/python tests/deploy/install.py
	@touch $@

secrets: ## make keys and passwords for docker-compose.yml, where there are none yet
	@mkdir -p -m 700 deploy/secrets
	@for name in secret_key postgres_password redis_password grafana_password pgadmin_password; do \
		test -e deploy/secrets/$$name || { $(PYTHON) -c 'import secrets; print(secrets.token_urlsafe(48), end="")' > deploy/secrets/$$name && chmod 444 deploy/secrets/$$name; }; \
	done
	@echo "Keys and passwords are in deploy/secrets; keep a copy where you keep secrets."

chaos: install ## break everything under load and count what became of each job; ARGS=--short, --list or names; SERVERS as for test
	@HAULWAY_TEST_SERVERS=$(SERVERS) $(RUN)/python -m tests.chaos $(ARGS)

soak: install ## steady load for MINUTES=30 and a verdict on whatever grows, with a plot
	@$(RUN)/python -m tests.chaos.soak $(or $(MINUTES),30)

screenshots: install ## photograph every page in both themes, of a platform at work (needs Chromium); ARGS="--out PLACE"
	@$(RUN)/python -m tests.browser.screenshots $(ARGS)

lint: install ## ruff, mypy and the import contracts
	@$(RUN)/ruff check .
	@$(RUN)/ruff format --check .
	@$(RUN)/mypy
	@$(RUN)/lint-imports

contract: install ## try what the OpenAPI document promises with thousands of requests
	@HAULWAY_CONTRACT_EXAMPLES=60 $(RUN)/python -m pytest -q tests/project/contract.py -m slow --timeout 900

openapi: install ## write the OpenAPI document, which the build compares
	@$(RUN)/python manage.py spectacular --file deploy/openapi.yaml --validate --fail-on-warn

format: install ## let ruff put the code in order
	@$(RUN)/ruff check --fix .
	@$(RUN)/ruff format .

COMPILE := $(RUN)/uv pip compile --quiet --universal --generate-hashes --custom-compile-command "make lock"
# With LOCK_FLAGS= (empty) nothing is upgraded: only what pyproject.toml newly asks for changes.
LOCK_FLAGS ?= --upgrade
LOCK_TO ?= .

lock: install ## pin the newest packages that pyproject.toml admits
	@$(COMPILE) $(LOCK_FLAGS) pyproject.toml -o $(LOCK_TO)/requirements.lock
	@$(COMPILE) $(LOCK_FLAGS) --all-extras --group dev pyproject.toml -o $(LOCK_TO)/requirements-dev.lock
	@$(COMPILE) $(LOCK_FLAGS) --constraint requirements.lock --extra embedded --group bench pyproject.toml -o $(LOCK_TO)/requirements-bench.lock
	@$(COMPILE) $(LOCK_FLAGS) --group deploy -o $(LOCK_TO)/requirements-deploy.lock
	@$(COMPILE) $(LOCK_FLAGS) --group installer -o $(LOCK_TO)/requirements-uv.lock

clean: ## remove the environment and all local data
	rm -rf $(VENV) $(BENCH) $(DEPLOY) .data .mypy_cache .ruff_cache .pytest_cache .hypothesis

.PHONY: help install deploy-tools secrets up demo test screenshots bench bench-downloads chaos soak lint \
	contract openapi format lock clean
