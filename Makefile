.DEFAULT_GOAL := help
SHELL := bash
STACK ?= dev
PYTHON := .venv/bin/python
SCRIPTS = .ci/run $(wildcard scripts/*.sh offline/*/*.sh offline/images/*/*.sh offline/bin/*)

up: venv docker engine ## Bring the stack STACK (dev) up, and set up what it needs
	@. scripts/env.sh genuine && python -m scripts.stack up --stack $(STACK)

down: venv docker engine ## Take the stack STACK away with all its data
	@. scripts/env.sh genuine && python -m scripts.stack down --stack $(STACK)

run-flow: venv engine ## Run the flow FLOW (namespace/id) with INPUTS ("name=value ...") and follow it
	@. scripts/env.sh genuine && python -m scripts.run_flow --stack $(STACK) $(FLOW) $(INPUTS)

report: venv engine ## Write a page with plots of what the warehouse of the stack STACK holds
	@. scripts/env.sh genuine && python -m report --stack $(STACK)

images: venv docker ## Build the images of the offline stack that are missing
	offline/images/build.sh

test: test-unit test-integration test-e2e ## Run all tests

test-unit: venv ## Run the tests that need neither Docker nor a network
	$(PYTHON) -m pytest --numprocesses auto tests/unit tests/kestra/unit offline/tests/unit

test-integration: venv docker images ## Run the tests against one real server each
	$(PYTHON) -m pytest tests/integration tests/kestra/integration offline/tests/integration

test-e2e: venv docker engine images ## Run the tests of the whole stack
	$(PYTHON) -m pytest tests/e2e

lint: venv ## Check form and types
	$(PYTHON) -m ruff check
	$(PYTHON) -m ruff format --check
	$(PYTHON) -m mypy
	for script in $(SCRIPTS); do bash -n $$script || exit; done

bench: venv docker engine images ## Measure stack, flows and loads beside plain Docker, HTTP and SQL
	. scripts/env.sh offline && python -m bench

venv: ## Install the Python packages into .venv
	@scripts/venv.sh

docker: ## Start the Docker Engine if none answers, and install it if there is none
	@scripts/docker.sh

engine: ## Install or build the Pulumi CLI if there is none
	@scripts/engine.sh >/dev/null

help: ## Show this list
	@sed -nE 's/^([a-z0-9-]+):.*## (.*)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

.PHONY: up down run-flow report images test test-unit test-integration test-e2e lint bench venv docker engine help
