# The same targets on a laptop and in CI. `make` alone lists them.
BIN := .venv/bin

# Compiled tests are kept: otherwise each process of pytest takes a quarter of a minute to compile them.
unexport PYTHONDONTWRITEBYTECODE

# Tests wait more than they work: for two processors three at a time.
TESTS := -n $(shell echo $$(($$(getconf _NPROCESSORS_ONLN) * 3 / 2))) --dist worksteal
APART := image or cluster or isolation or training or airflow or compose or jobs or clients

.DEFAULT_GOAL := help
.PHONY: help setup run test test-slow test-long test-isolation test-torchscript test-training test-airflow test-compose test-jobs test-swaps test-wheel test-mypyc wheel-compiled coverage check bench bench-peers image test-image cluster \
        cluster-down test-cluster generated lock manifests release-check helm4 s3-server lfs-server client-tools test-clients airflow compose \
        compose-down compose-native compose-tool demo-continuous examples format clean

help:  ## this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup:  ## .venv with the service and the tools
	@scripts/venv.sh --dev

run:  ## serve models_serve/ or the repository gitPath
	@./run.sh

test: setup  ## all tests but those that have a target of their own
	$(BIN)/pytest $(TESTS) -m "not ($(APART) or long)"

test-slow: setup  ## the same tests as on a busy machine, three times slower; takes hours
	$(BIN)/python -m scripts.slow_machine -n 2 --dist worksteal -m "not ($(APART))"

test-long: setup  ## services that follow git, are killed, cut off and started again, environments, rollouts; about 9 minutes
	$(BIN)/pytest $(TESTS) -m "long and not ($(APART))"

test-isolation: setup  ## ordinary and misbehaving models in each place, about 10 minutes
	$(BIN)/pytest -n 2 --dist loadgroup -m isolation tests/service

test-torchscript: setup  ## TorchScript files, by Debian's PyTorch (python3-torch), some seconds
	@folder=$$(mktemp -d) && for name in torch torchgen functorch caffe2; do \
	    ln -s "/usr/lib/python3/dist-packages/$$name" "$$folder/$$name"; done; \
	PYTHONPATH=$$folder $(BIN)/pytest tests/models/test_torchscript.py; code=$$?; rm -r "$$folder"; exit $$code

test-training: setup s3-server  ## models that are fitted by real jobs, about 5 minutes
	$(BIN)/pytest -n 2 --dist worksteal -m training tests

test-airflow: setup airflow  ## the DAGs by a real Airflow, its scheduler and its API server, about 6 minutes
	$(BIN)/pytest -n 2 --dist loadfile -m airflow tests/airflow

test-compose: setup s3-server airflow compose-tool  ## docker-compose.yml by Docker's loader, and its set as native processes, about 3 minutes
	$(BIN)/pytest -n 2 --dist loadfile -m "not training" tests/compose

test-clients: setup client-tools  ## clients that are generated from OpenAPI, and schemathesis, about 5 minutes
	$(BIN)/pytest -m clients tests/clients

test-jobs: setup  ## 500 jobs (or MODELSYNC_TEST_JOBS) of which many are killed, in SQLite and PostgreSQL, about 20 minutes
	$(BIN)/pytest --timeout 3600 -rA -m jobs tests/training

test-swaps: setup  ## 100 swaps (or MODELSYNC_TEST_SWAPS) under keep-alive load, about 3 minutes
	MODELSYNC_TEST_SWAPS=$${MODELSYNC_TEST_SWAPS:-100} $(BIN)/pytest --timeout 900 tests/service/test_swap.py -k drop_no_request

test-wheel:  ## tests against the built wheel, in an environment of its own; PYTHON=python3.13 for another one
	scripts/test_wheel.sh

test-mypyc: setup  ## the predict path compiled by mypyc: its wheel, built and tested as above, about 5 minutes
	COMPILED=1 scripts/test_wheel.sh

wheel-compiled: setup  ## a wheel of this platform in dist/, its predict path compiled by mypyc; needs a C compiler
	scripts/libraries.sh .venv compiled=dist

coverage: setup  ## all tests of `make test test-long`, and which lines they ran
	rm -f .coverage .coverage.*
	$(BIN)/coverage run -m pytest $(TESTS) -m "not ($(APART))"
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report --skip-covered --skip-empty --sort=cover

check: setup  ## style, types, layers, generated files
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m scripts.generated --check
	$(BIN)/python -m scripts.chart_manifests --check
	$(BIN)/python -m scripts.lock --check

bench: setup  ## the figures of bench/README.md
	$(BIN)/python -m bench

bench-peers: setup  ## modelsync beside other servers, see bench/peers/README.md
	$(BIN)/python -m bench.peers

image:  ## the container image, modelsync:latest
	scripts/image.sh

test-image: setup  ## builds the image and runs it (root, buildah, podman)
	$(BIN)/pytest -m image tests/image

cluster: setup  ## a Kubernetes cluster for the tests, see CONTRIBUTING.md; prints its KUBECONFIG
	@$(BIN)/python -m scripts.cluster up

cluster-down: setup  ## ends it and leaves nothing but the cache of its programs
	@$(BIN)/python -m scripts.cluster down

test-cluster: cluster  ## the suite on that cluster; tests wait more than they work, so two run at a time
	@[ "$$MODELSYNC_TEST_CLUSTER_ONLY" = smoke ] || $(BIN)/python -m scripts.cluster policies
	@code=0; only="cluster and ($${MODELSYNC_TEST_CLUSTER_ONLY:-cluster})"; \
	$(BIN)/pytest -m "$$only and not alone" -n 2 --dist loadgroup --verbose -rP tests/cluster || code=$$?; \
	$(BIN)/pytest -m "$$only and alone" --verbose --capture=no tests/cluster || { none=$$?; [ $$none = 5 ] || code=$$none; }; \
	exit $$code

generated: setup  ## settings' tables and templates, the layers, and the version where it is repeated
	$(BIN)/python -m scripts.generated

lock: setup  ## requirements*.lock, from requirements*.txt; UPGRADE=1 takes the newest of what is not pinned
	$(BIN)/python -m scripts.lock $(if $(UPGRADE),--upgrade)

manifests: setup  ## k8s/, from the chart helm/modelsync
	$(BIN)/python -m scripts.chart_manifests

s3-server: setup  ## the S3 server of the tests, built with Go where it is not here
	$(BIN)/python -m scripts.s3_server

lfs-server: setup  ## the Git LFS server of the tests, in an environment of its own in the user's cache
	$(BIN)/python -m scripts.lfs_server

client-tools: setup  ## generators of clients and schemathesis, apart in the user's cache (needs npm)
	$(BIN)/python -m scripts.clients

airflow: setup  ## Airflow for the tests, in an environment of its own in the user's cache
	$(BIN)/python -m scripts.airflow

compose:  ## docker-compose.yml: postgres, minio, airflow, modelsync and nginx, in a Docker engine
	docker compose up --build --detach --wait
	@echo "modelsync: http://$$(docker compose port nginx 8080), its token for training: docker compose exec modelsync cat /run/secrets/modelsync/train_tokens"
	@echo "Airflow:   http://$$(docker compose port nginx 8081), user admin, password: docker compose exec airflow cat /run/secrets/airflow/password"

compose-down:  ## ends it; its volumes stay, data and secrets (docker compose down --volumes removes them)
	docker compose down

compose-native: setup s3-server airflow  ## the same set as processes of this machine, until Ctrl-C; AIRFLOW_REPLICAS=0 goes without Airflow
	@$(BIN)/python -m scripts.compose_native

compose-tool: setup  ## Docker Compose for the tests, built with Go where it is not here
	$(BIN)/python -m scripts.compose_tool

demo-continuous: setup s3-server  ## three days of training by itself, in less than two minutes
	@$(BIN)/python -m scripts.demo_continuous

helm4: setup  ## Helm 4 for the chart's tests, built with Go where it is not here
	$(BIN)/python -m scripts.chart_helm

release-check: setup  ## tag, version, changelog and chart are one, see docs/releasing.md
	$(BIN)/python -m scripts.release_check

examples: setup  ## the artefacts of the examples in models_serve/
	$(BIN)/python -m scripts.build_examples

format: setup  ## let ruff fix and format
	$(BIN)/ruff check --fix --quiet . ; $(BIN)/ruff format --quiet .

clean:  ## remove .venv, caches and state
	rm -rf .venv .modelsync .pytest_cache .mypy_cache .ruff_cache .coverage* build dist *.egg-info
