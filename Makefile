# Every check has one command, the same by hand and in continuous integration. The work is in tools/.
# CORE=2.19 make <target> uses ansible-core 2.19; SETUP=no forbids installing system packages.
.DEFAULT_GOAL := help
.PHONY: help demo test lint sanity unit integration servers faults molecule bench acceptance docs clean

help: ## This list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: ## A trading service, health runs, a fault, the report; no root, no Docker
	@tools/demo

test: ## lint, sanity, unit, integration, servers, faults and molecule, with one summary
	@tools/test

lint: ## yamllint, ansible-lint, changelog, archive, shellcheck
	@tools/lint

sanity: ## ansible-test sanity on every Python found
	@tools/sanity

unit: ## Unit tests, managed-node code also on Python 3.9
	@tools/unit
	@tools/unit nodes || [ $$? = 77 ]

integration: ## Real ansible-playbook runs against servers on loopback
	@tools/pytest integration

servers: ## Drivers against real PostgreSQL, Redis, pgBackRest and S3 servers
	@tools/pytest servers

faults: ## Every position of every fault; tables go to docs/evidence/
	@tools/faults

molecule: ## Scenarios on Debian 11, 12 and 13 nodes in Docker
	@tools/molecule

bench: ## Benchmarks; tables go to docs/evidence/
	@tools/pytest benchmarks --numprocesses 0 || [ $$? = 77 ]

acceptance: ## The heavy lines: fault sweeps and benchmarks
	@tools/acceptance

docs: ## Render the documentation of every plugin and role
	@tools/docs

clean: ## Remove .build and the engine that was started for the tests
	@tools/clean
