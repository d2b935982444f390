# Two commands on a fresh Debian or Ubuntu: `make demo` and `make test`. Each installs what it needs into .venv,
# from the lock file, by hash. Tools are run as modules, so that a blank in this directory's path is no matter.

python ?= python3
venv := .venv
run := $(venv)/bin/python
installed := $(venv)/.installed
peers := $(venv)/.peers
packages := newtond service worker

.DEFAULT_GOAL := help
.PHONY: help demo test lint docs pytest pytest-engine pytest-servers test-slow test-compose fuzz drill load bench paper screenshots security openapi lock clean

help: ## what can be made
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1	\2/p' Makefile | expand -t 22

$(installed): requirements-dev.lock pyproject.toml client/pyproject.toml
	@$(python) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo 'newtond needs Python 3.11 or newer: make python=python3.NN ...'; exit 1; }
	@test -x $(run) || $(python) -m venv $(venv) || { echo 'apt-get install python3-venv'; exit 1; }
	$(run) -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	$(run) -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable . --editable ./client
	@touch $(installed)

demo: $(installed) ## solve a real regression through a server of its own, and draw it
	$(run) examples/flights.py

test: lint docs pytest ## what CI runs: style, types, import contracts, the site, tests (all but the slow ones)

lint: $(installed) ## ruff, mypy --strict and the import contracts
	$(run) -m ruff check .
	$(run) -m ruff format --check .
	$(run) -m mypy
	$(venv)/bin/lint-imports

docs: $(installed) ## the site of docs/, to build/docs; a warning or a broken link is an error
	$(run) -m sphinx -W --keep-going --quiet -a -b html docs build/docs

# The engine's tests start nothing and time nothing: they run beside those of servers, and are shown when they end.
pytest: $(installed)
	@$(MAKE) --no-print-directory -j2 pytest-engine pytest-servers

pytest-engine:
	@mkdir -p build
	@$(run) -m pytest -m "not slow" tests/engine > build/pytest-engine.log 2>&1; \
	  status=$$?; echo; cat build/pytest-engine.log; exit $$status

pytest-servers:
	$(run) -m pytest -m "not slow" --ignore=tests/engine

test-slow: $(installed) ## the long drills
	$(run) -m pytest -m "slow and not compose"

test-compose: $(installed) ## the images, for real: build, solve, kill a worker, restart (needs Docker)
	$(run) -m pytest -m compose tests/system/test_compose.py

fuzz: $(installed) ## 10^7 texts through the scanners, 10^5 files through the child; writes docs/fuzzing.md: make fuzz SEED=1
	$(run) -m fuzzing --seed $(or $(SEED),0) --report docs/fuzzing.md

$(peers): requirements-bench.lock $(installed)
	$(run) -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-bench.lock
	@touch $(peers)

drill: $(installed) ## 50 rounds of 20 solves under faults; writes docs/reliability.md: make drill SEED=1 ROUNDS=50 JOBS=20
	$(run) -m drills --seed $(or $(SEED),0) --rounds $(or $(ROUNDS),50) --jobs $(or $(JOBS),20) --report docs/reliability.md

load: $(installed) ## 200 clients for ten minutes; writes docs/reliability.md: make load CLIENTS=200 SECONDS=600
	$(run) -m drills.load --clients $(or $(CLIENTS),200) --seconds $(or $(SECONDS),600) --report docs/reliability.md

bench: $(peers) ## race the peers: make bench INSTANCE="a c" RUNS=5 SEED=0 SCALE=1; writes benchmarks/results, docs/performance.md
	$(run) -m benchmarks $(if $(INSTANCE),--instance $(INSTANCE)) $(if $(RUNS),--runs $(RUNS)) \
	  $(if $(SEED),--seed $(SEED)) $(if $(SCALE),--scale $(SCALE)) $(if $(THREADS),--threads $(THREADS))
	$(if $(INSTANCE),,$(run) -m benchmarks.families $(if $(RUNS),--runs $(RUNS)) $(if $(SCALE),--scale $(SCALE)))
	$(if $(INSTANCE),,$(run) -m benchmarks.service.overhead)
	$(if $(INSTANCE),,$(run) -m benchmarks.curves $(if $(SCALE),--scale $(SCALE)))
	$(run) -m benchmarks.report

paper: $(installed) ## measure the papers' claims; writes docs/paper.md
	$(run) -m benchmarks.paper

screenshots: $(installed) ## take the pictures of docs/pages.md anew (needs Chromium)
	$(run) examples/screenshots.py

security: $(installed) ## run every attack of docs/security.md and write what was answered
	WRITE_SECURITY=1 $(run) -m pytest -q tests/service/test_attacks.py

openapi: $(installed) ## write openapi/openapi.json and the client's models anew
	$(run) -m service.openapi
	$(run) client/generate_models.py

lock: $(installed) ## resolve the lock files anew
	$(run) -m uv pip compile --universal --python-version 3.11 --generate-hashes --quiet \
	  pyproject.toml -o requirements.lock
	$(run) -m uv pip compile --universal --python-version 3.11 --generate-hashes --quiet \
	  -c requirements.lock pyproject.toml --extra demo --group dev -o requirements-dev.lock
	$(run) -m uv pip compile --universal --python-version 3.11 --generate-hashes --quiet \
	  -c requirements-dev.lock --group build -o requirements-build.lock
	$(run) -m uv pip compile --universal --python-version 3.11 --generate-hashes --quiet \
	  -c requirements-dev.lock pyproject.toml --extra bench --extra demo -o requirements-bench.lock

clean: ## remove what was made, .venv included; data of `newtond up` stays
	rm -rf $(venv) demo-output build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
