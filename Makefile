.DEFAULT_GOAL := help
SHELL := bash
export PODIUM_STACK := $(or $(STACK),$(PODIUM_STACK),dev)
PYTHON := .venv/bin/python
SCRIPTS = podium .ci/run $(wildcard cli/setup/*.sh offline/setup offline/*.sh offline/*/*.sh offline/images/*/*.sh offline/bin/*)

up: ## Bring the stack STACK (dev) up, and set up what it needs
	@./podium up

down: ## Delete the stack STACK with all its data
	@./podium down

run-flow: ## Run the flow FLOW (namespace/id) with INPUTS ("name=value ...") and follow it
	@./podium run $(FLOW) $(INPUTS)

report: ## Write a page with plots of what the warehouse of the stack STACK holds
	@./podium report

test: test-unit test-integration test-e2e ## Run all tests

test-unit: venv ## Run the tests that need neither Docker nor a network
	$(PYTHON) -m pytest --numprocesses auto tests/unit tests/kestra/unit offline/tests/unit

test-integration: venv docker images kestra ## Run the tests against one real server each
	$(PYTHON) -m pytest tests/integration tests/kestra/integration offline/tests/integration

test-e2e: venv docker engine images chromium ## Run the tests of the whole stack
	$(PYTHON) -m pytest tests/e2e

lint: venv ## Check form and types
	$(PYTHON) -m ruff check
	$(PYTHON) -m ruff format --check
	$(PYTHON) -m mypy
	$(PYTHON) -m docs.check
	for script in $(SCRIPTS); do bash -n $$script || exit; done
	cli/setup/actionlint.sh

bench: venv docker ## Measure stack, flows and loads beside plain Docker, HTTP and SQL
	PATH=$$(offline/setup):$$PATH $(PYTHON) -m bench

venv: ## Install the Python packages into .venv
	@cli/setup/venv.sh

docker: ## Start the Docker Engine if none answers, and install it if there is none
	@cli/setup/docker.sh

chromium: ## Install the browser in which the pages are tested, where that is possible
	@cli/setup/chromium.sh

engine: ## Install or build the Pulumi CLI if there is none
	@./podium pulumi version >/dev/null

images: docker kestra ## Build the images of the offline parts that are missing
	@offline/setup images

kestra: venv ## Download Kestra's own engine for the tests of the flows, if it is missing
	@PODIUM_PYTHON=$(PYTHON) offline/setup kestra

help: ## Show this list
	@sed -nE 's/^([a-z0-9-]+):.*## (.*)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

.PHONY: up down run-flow report test test-unit test-integration test-e2e lint bench venv docker chromium engine images kestra help
