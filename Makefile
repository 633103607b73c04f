# Needs only make and Python 3.11 or newer; the rest is fetched into .venv.

PORT = 8000

.PHONY: help chaos demo demo-full test test-long bench bench-quick docs check-wheel matrix \
	picture client clean

help:
	@echo "make demo        the example on SQLite (PORT=8000)"
	@echo "make demo-full   the same on PostgreSQL and Redis, with users and workers"
	@echo "make test        every check and every test"
	@echo "make test-long   the same with coverage and the long form of slow suites (an hour)"
	@echo "make chaos       kill jobs' workers for an hour; SEED=… repeats a run"
	@echo "make bench       measure everything, write benchmarks/README.md"
	@echo "make bench-quick measure less, in two minutes, and print it"
	@echo "make docs        the documentation as pages, in docs/_build"
	@echo "make check-wheel build the package, install it elsewhere, do the tutorials with it"
	@echo "make matrix      the tests on each Python and Django that there is"
	@echo "make picture     the README's, taken by the browser's tests"
	@echo "make client      the browser's client out of src/client/*.ts"
	@echo "make clean       forget the environment and the demo's data"

demo:
	@sh .ci/environment demo
	@exec .venv/bin/python -m asgi_example.demo --port $(PORT)

demo-full:
	@sh .ci/environment demo-full
	@exec .venv/bin/python -m asgi_example.demo_full --port $(PORT)

test:
	@sh .ci/environment test
	@exec .venv/bin/python -m tests.run

test-long:
	@sh .ci/environment test
	@PARTSTREAM_LONG=1 PYTEST_TIMEOUT=7200 .venv/bin/python -m tests.run

chaos:
	@sh .ci/environment test
	@PARTSTREAM_LONG=1 SEED=$(SEED) .venv/bin/python -m pytest tests/chaos -m chaos --timeout=3600 -v

bench:
	@sh .ci/environment bench
	@exec .venv/bin/python -m benchmarks

bench-quick:
	@sh .ci/environment bench
	@exec .venv/bin/python -m benchmarks --quick

docs:
	@sh .ci/environment docs
	@exec .venv/bin/python -m sphinx --fail-on-warning --keep-going -q docs docs/_build

check-wheel:
	@sh .ci/environment test
	@exec .venv/bin/python -m tests.wheel

matrix:
	@sh .ci/environment test
	@exec .venv/bin/python -m tests.matrix

picture:
	@sh .ci/environment test
	@PARTSTREAM_PICTURE=docs/demo.png .venv/bin/python -m pytest -q \
		tests/test_browser.py -k january_is_loaded

client:
	@sh .ci/environment test
	@exec .venv/bin/python -m tests.npm

clean:
	rm -rf .venv var docs/_build
