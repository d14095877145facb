# Everything a newcomer types. Each target sets up what it needs; nothing is installed outside this folder.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help demo up mail backfill replay test check bench soak audit clean

PY := .venv/bin/python
STAMP := .venv/.installed

help:  ## what there is to type
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-8s %s\n", $$1, $$2}'

demo: $(STAMP)  ## the whole story on this machine: events in, linked customers and orders out
	@$(PY) -m local.demo

up: $(STAMP)  ## the same system, staying up; other programs read .local/env
	@$(PY) -m local.auth_emulator install
	@$(PY) -m local.up

mail: $(STAMP)  ## every mail in every language, to look at: .local/mail/index.html
	@$(PY) -m local.mail_gallery

backfill: $(STAMP)  ## what your Stripe account had before, into Firestore; settings from the environment or .env
	@$(PY) -m functions.operations.backfill $(ARGS)

replay: $(STAMP)  ## parked events once more, on the system that `make up` runs: make replay ARGS=--all
	@set -a; if [ -f .local/env ]; then . .local/env; fi; $(PY) -m functions.operations.replay $(ARGS)

test: $(STAMP)  ## every check and every test
	@$(PY) -m local.auth_emulator install
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m mypy
	@STRIPE_PAYLOADS=$${STRIPE_PAYLOADS-$$([ -d ../shared/payloads ] && realpath ../shared/payloads)} $(PY) -m pytest -n auto --maxprocesses=4 --dist loadfile --no-loadscope-reorder

bench: $(STAMP)  ## the system beside its floor, as ratios
	@$(PY) -m local.bench

soak: $(STAMP)  ## 10,000 events through the whole system; fails if one is lost
	@$(PY) -m local.soak $(ARGS)

audit: $(STAMP)  ## known vulnerabilities in what the functions import; asks PyPI
	@$(PY) -m pip_audit --strict --disable-pip --no-deps -r requirements.txt

clean:  ## removes what the other targets made here
	rm -rf .venv .local .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(STAMP): requirements.txt requirements-dev.txt local/make_venv.sh
	@local/make_venv.sh .venv
	@touch $@
