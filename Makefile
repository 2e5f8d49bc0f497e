# Every target creates what it needs. `make help` lists them, each heading that begins with ##@ above its own.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules

VENV := $(or $(WSSGATE_VENV),$(CURDIR)/.venv)
WITH := scripts/with.sh
# A program of tests/, which imports what tests share as `lib`.
PROGRAM := $(WITH) env PYTHONPATH=$(CURDIR)/tests python -m
JOBS ?= 3
SCENARIO ?=
# Debian releases whose images a single scenario starts from, or `applications`; without any named, all of them.
RELEASES := $(if $(SCENARIO),$(shell \
    sed -n 's/^ *image: wssgate-test:\(debian\)\{0,1\}\([a-z0-9]*\).*/\2/p' \
    molecule/$(SCENARIO)/molecule.yml | sort -u))
NAME ?= gate
SECONDS ?= 1800
SESSIONS ?= 2000
PART ?= sessions agent
SEED ?=
PLANT ?=
PORT ?=
NETWORK ?=
# What `make test` runs side by side; every molecule scenario comes on top.
# Target sanity runs the plugins' unit tests, by ansible-test; target unit would do so once more.
# The long ones first: where no run has been timed yet, they start in this order.
CHECKS := sanity functional-services functional-gate functional-plays lint galaxy roles

# A value inherited from the outside slows Ansible down: see scripts/lib.sh.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help
help: ## Say what there is
	@awk -F ':.*## ' '/^##@ / { printf "\n%s\n", substr($$0, 5) } \
		/^[a-z-]+:.*## / { printf "  make %-18s%s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: venv venv-run
venv-run: # what a playbook needs
	@scripts/venv.sh $(VENV) requirements.txt

venv: ## The environment of the tests (.venv), for commands by scripts/with.sh
	@scripts/venv.sh $(VENV) requirements.txt requirements-test.txt

##@ Start here

.PHONY: quickstart
quickstart: venv-run ## Deploy the gate on this machine in front of an echo server, and probe it
	@echo "== Deploying the gate on this machine (playbooks/quickstart.yml)"
	@$(WITH) ansible-playbook playbooks/quickstart.yml $(ARGS)

.PHONY: quickstart-absent
quickstart-absent: venv-run ## Take what the quickstart put on this machine away again; nginx itself stays
	@$(WITH) ansible-playbook -i localhost, -c local -e wssgate_hosts=localhost \
		-e ansible_python_interpreter=/usr/bin/python3 playbooks/uninstall.yml $(ARGS)

# Three gates, three hosts of the hub and two balancers; ports PORT and PORT+1 of 127.0.0.1 lead to the latter.
FLEET := WSSGATE_FLEET_PORT=$(PORT) WSSGATE_FLEET_NETWORK=$(NETWORK) \
	PYTHONPATH=$(CURDIR)/tests $(WITH) python scripts/fleet/main.py

.PHONY: fleet fleet-absent fleet-test
fleet: venv ## A whole fleet in containers, shown at work: make fleet [PORT=8443] [NETWORK=172.30.77.0/24]
	@$(FLEET) up

fleet-absent: venv ## Take the fleet's containers, network and files away again
	@$(FLEET) absent

fleet-test: venv # from nothing to a fleet and back, with more that is looked at
	@$(FLEET) test

##@ Prove

.PHONY: test test-newest
test: ## Everything that proves it: lint, unit, sanity, the artifact, every molecule scenario
	@echo "== Preparing the test environment and the test images"
	@$(MAKE) --no-print-directory -j2 venv images
	@$(WITH) python scripts/run.py --jobs $(JOBS) $(CHECKS) molecule

test-newest: ## The same on the newest ansible-core, in a container where this machine's python3 is too old for it
	@scripts/newest.sh make --no-print-directory test JOBS=$(JOBS)

.PHONY: lint
lint: venv ## shellcheck, ruff, yamllint, ansible-lint, eslint, documentation and changelog
	@$(WITH) scripts/lint.sh

.PHONY: docs
docs: venv ## Only the documentation and the changelog
	@$(WITH) scripts/lint.sh docs

.PHONY: unit
unit: venv ## Unit tests, with plain pytest
	@echo "== Unit tests"
	@$(WITH) pytest -q tests/unit $(ARGS)

.PHONY: roles
roles: venv ## The part of the unit tests that ansible-test does not know: what the roles consist of
	@echo "== What the roles consist of"
	@$(WITH) pytest -q tests/unit --ignore=tests/unit/plugins $(ARGS)

# What waits for programs beside nginx, and what mostly waits for ansible-playbook: in jobs of their own.
PLAYS := $(wildcard $(addprefix tests/functional/test_,disconnect.py hub_playbooks.py limits_reload.py \
	site_refused.py upstream_headers.py variables.py))
SERVICES := $(filter-out $(PLAYS),$(wildcard $(addprefix tests/functional/test_,agent*.py balancer*.py faults.py \
	hub*.py jwt_revocation.py key_sets.py monitoring*.py transaction*.py)))

.PHONY: functional functional-services functional-gate functional-plays
functional: venv ## The rendered gate on the newest nginx, on this machine: fuzzing, Autobahn, other readers
	@echo "== Functional tests"
	@WSSGATE_HAPROXY=$$(scripts/haproxy.sh) WSSGATE_PROMETHEUS=$$(scripts/prometheus.sh) \
		WSSGATE_SHIPPERS=$$(scripts/shippers.sh) $(WITH) pytest -q tests/functional $(ARGS)

functional-services: venv # agent, hub, balancer, monitoring, transaction
	@echo "== Functional tests of what is beside nginx"
	@WSSGATE_HAPROXY=$$(scripts/haproxy.sh) WSSGATE_PROMETHEUS=$$(scripts/prometheus.sh) \
		WSSGATE_SHIPPERS=$$(scripts/shippers.sh) $(WITH) pytest -q $(SERVICES) $(ARGS)

functional-plays: venv # what ansible-playbook says and does
	@echo "== Functional tests of plays"
	@$(WITH) pytest -q $(PLAYS) $(ARGS)

functional-gate: venv # the rest
	@echo "== Functional tests of the gate"
	@$(WITH) pytest -q $(filter-out $(SERVICES) $(PLAYS),$(wildcard tests/functional/test_*.py)) $(ARGS)

.PHONY: sanity
sanity: venv ## ansible-test: sanity and the plugins' unit tests
	@echo "== ansible-test sanity"
	@$(WITH) scripts/sanity.sh sanity
	@echo "== ansible-test units"
	@$(WITH) scripts/sanity.sh units

.PHONY: galaxy
galaxy: venv ## Build the artifact and check it as Ansible Galaxy does
	@$(WITH) scripts/galaxy.sh

.PHONY: molecule
# Named, scenario applications does all that it can; beside the others each application once.
molecule: export WSSGATE_APPLICATIONS ?= $(if $(filter applications,$(SCENARIO)),all,some)
molecule: venv images ## Every scenario, or one: make molecule SCENARIO=default
	@$(WITH) python scripts/run.py --jobs $(JOBS) molecule$(if $(SCENARIO),:$(SCENARIO))

.PHONY: images
images: ## Build the hosts' images, if what they are made of changed (FORCE=1: anyway)
	@scripts/packages.sh
	@scripts/engine.sh
	@scripts/images.sh $(RELEASES)

##@ Prove, for long

.PHONY: matrix
matrix: venv ## Every ansible-core, on a Python of its own, against Debian 11 to 14: make matrix [ARGS='--only 2.21']
	@scripts/matrix.sh $(ARGS)

.PHONY: certification
certification: venv ## What Red Hat's checks for Automation Hub ask, by the versions that they pin
	@scripts/certification.sh

.PHONY: mutants
mutants: venv ## Take out the gate's guards and directives, and the code's checks, one by one; a test must miss each
	@echo "== Guards and directives of the gate taken out, one by one"
	@$(PROGRAM) mutation.gate_mutants $(ARGS)
	@echo "== Checks of the code taken out, one by one"
	@$(PROGRAM) mutation.code_mutants $(ARGS)
	@. scripts/lib.sh && need_command eslint eslint
	@echo "== Small mistakes in jwt.js, one by one"
	@$(PROGRAM) mutation.script_mutants $(ARGS)

.PHONY: jwt-engines
jwt-engines: venv ## Signed tokens on each version of nginx's JavaScript module, by the images of Debian 12, 13 and 14
	@$(WITH) scripts/jwt-engines.sh $(ARGS)

.PHONY: tls
tls: venv ## testssl.sh (Debian's package) on the gate's TLS, about three minutes
	@. scripts/lib.sh && need_command testssl testssl.sh
	@echo "== testssl.sh"
	@$(WITH) pytest -q tests/functional/testssl.py $(ARGS)

.PHONY: soak
soak: venv ## For long: thousands of sessions, then an agent in trouble: make soak [PART=sessions|agent] [SECONDS=1800]
ifneq ($(filter sessions,$(PART)),)
	@echo "== $(SESSIONS) sessions for $(SECONDS) seconds"
	@$(PROGRAM) bench.soak --seconds $(SECONDS) --sessions $(SESSIONS)
endif
ifneq ($(filter agent,$(PART)),)
	@echo "== An agent in trouble for $(SECONDS) seconds"
	@$(PROGRAM) bench.soak_agent --seconds $(SECONDS) $(if $(SEED),--seed $(SEED)) $(ARGS)
endif

.PHONY: chaos
chaos: venv ## A hub of three and three gates in trouble: make chaos [SECONDS=1800] [SEED=…], or [PLANT=all]
	@echo "== A fleet in trouble$(if $(PLANT),, for $(SECONDS) seconds)"
	@WSSGATE_HAPROXY=$$(scripts/haproxy.sh) $(PROGRAM) bench.chaos --seconds $(SECONDS) \
		$(if $(SEED),--seed $(SEED)) $(if $(PLANT),--plant $(PLANT)) $(ARGS)

.PHONY: alerts
alerts: venv ## Each fault of a gate by itself has its alert fire, once, and no other (ten minutes)
	@echo "== Alerts, by real faults"
	@WSSGATE_PROMETHEUS=$$(scripts/prometheus.sh) $(WITH) pytest -q tests/functional/alert_faults.py $(ARGS)

##@ Measure

.PHONY: bench
bench: venv ## Measure: make bench [NAME=tokens|controller|agent|jwt|hub|front|crowd|locations|systems|monitoring]
	@scripts/bench-peers.sh
	@$(PROGRAM) bench.$(NAME) $(ARGS)

##@ Write

.PHONY: generate
generate: venv ## Write what follows from the roles' argument_specs: defaults, tables of the READMEs, the gate's options
	@$(WITH) python scripts/generate.py $(ARGS)

.PHONY: golden
golden: venv ## Write the golden configurations anew (tests/unit/data/golden), for a diff of what a change renders
	@WSSGATE_GOLDEN=1 $(WITH) pytest -q tests/unit/test_golden_configuration.py tests/unit/test_hub_configuration.py \
		tests/unit/test_balancer.py tests/unit/test_check_page.py
	@git --no-pager diff --stat -- tests/unit/data

.PHONY: docs-site
docs-site: venv ## The documentation as a site in .cache/docs-site, looked at in a browser
	@scripts/docs-site.sh
	@. scripts/lib.sh && need_command chromium chromium fonts-dejavu-core
	@$(WITH) pytest -q tests/functional/docs_site.py $(ARGS)

##@ Release

.PHONY: changelog
changelog: venv ## Write CHANGELOG.md from changelogs/ for the version in galaxy.yml
	@$(WITH) antsibull-changelog release --reload-plugins

##@ Clean up

.PHONY: clean
clean: ## Remove what the targets created here; stop a Docker Engine that they started
	@scripts/engine.sh stop
	@scripts/clean.sh
