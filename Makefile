# Two commands matter: `make demo` shows the main job, `make test` runs everything that checks.
SHELL := /bin/bash
.DEFAULT_GOAL := help
# Compiled modules are kept: without them every Ansible start is half a second slower.
unexport PYTHONDONTWRITEBYTECODE
export PATH := $(CURDIR)/.venv/bin:$(PATH)
export ANSIBLE_CONFIG := $(CURDIR)/ansible.cfg
PYTHON := .venv/bin/python
PYTEST := $(PYTHON) -m pytest
SEEDS ?= 1 2 3
COLLECTION := .cache/sanity/ansible_collections/sre/runbooks

.PHONY: help setup system demo trainee quick test test-all lint types sanity importer unit live molecule scenarios sweep mutations bench lab lab-down screens why oldest docs lock clean

help: ## what there is to run
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

setup: ## the virtual environment from the locked development set
	@scripts/setup.sh

system: setup ## what the tests need of the system (Debian packages, PostgreSQL 13 to 17, a Kubernetes control plane)
	@scripts/system.sh

demo: setup ## a really blocked database is diagnosed, relieved and verified (MITIGATE=none: only diagnosed)
	@$(PYTHON) -m tests.lab.demo

trainee: setup ## breaks something at random in the lab and leaves you to it
	@LAB=trainee $(PYTHON) -m tests.lab.trainee

quick: setup ## the loop of a change: style, types, everything pure, one scenario
	@scripts/quick.sh

test: setup system ## everything that checks, sampled where it is long
	@scripts/test.sh

test-all: setup system ## everything that checks, and all of it
	@SAMPLE=all scripts/test.sh

lint: setup ## style, lint and types, offline
	ruff check . && ruff format --check --quiet plugins/module_utils plugins/plugin_utils plugins/action tests || exit 1
	yamllint --strict .
	ANSIBLE_COLLECTIONS_PATH=$(CURDIR)/.collections ansible-lint --offline --profile production
	$(MAKE) --no-print-directory types
	antsibull-changelog lint
	antsibull-docs lint-collection-docs --plugin-docs --validate-collection-refs self .

types: setup ## mypy, strict
	scripts/types.sh

sanity: setup ## ansible-test sanity on a copy of the collection
	scripts/sanity.sh

importer: setup ## galaxy-importer on the built tarball, and a playbook from it, installed elsewhere
	scripts/importer.sh

unit: setup ## everything pure, and each HTTP exchange
	$(PYTEST) tests/unit

live: setup system ## the runbook against the lab: bad input, guards, check mode, controls, interruptions
	$(PYTEST) tests/live

molecule: setup ## the runbook as Molecule scenarios
	cd extensions && MOLECULE_EPHEMERAL_DIRECTORY=$(CURDIR)/.cache/molecule molecule -c molecule/config.yml test --all

scenarios: setup ## every scenario with several seeds, with its score and the naive baseline's
	$(PYTHON) -m tests.scenarios --seeds $(SEEDS)

sweep: setup ## every fault and every kill at every write of a good run
	$(PYTHON) -m tests.sweep

mutations: setup ## takes one rule, one cap, one escape away at a time: the unit tests must notice
	$(PYTHON) -m tests.mutations

bench: setup ## ours against the peers
	@failed=0; for one in db_triage k8s_rollback log_analysis error_rate; do $(PYTHON) -m tests.bench.$$one || failed=1; done; exit $$failed

lab: setup ## starts the lab
	$(PYTHON) -m tests.lab up

lab-down: ## ends the lab
	$(PYTHON) -m tests.lab down

screens: setup ## docs/screens.md: what the runbook shows, from real runs
	$(PYTHON) -m tests.screens

why: setup ## docs/why.md: the popular commands tried on the lab's faults
	$(PYTHON) -m tests.why

oldest: setup system ## the oldest supported pair: unit tests, sanity, demo, three scenarios
	scripts/oldest.sh

docs: setup ## generates the references
	$(PYTHON) -m tests.docs

lock: setup ## locks the development set anew
	.cache/uv/bin/uv pip compile --quiet --universal --generate-hashes --no-header --no-annotate --python-version 3.11 requirements/dev.in -o requirements/dev.txt

clean: lab-down ## removes everything that was made here
	rm -rf .venv .venv-oldest .cache .lab
