# The commands of dev.py under the names people try first.
.PHONY: serve test check compat bench-peers compile test-compiled

serve:
	python3 dev.py serve

test:
	python3 dev.py test

check:
	python3 dev.py check

compat:
	python3 dev.py compat

bench-peers:
	python3 dev.py bench bench/peers.py --write bench/results/peers.json --page docs/benchmarks.md

compile:
	python3 dev.py compile

test-compiled: compile
	python3 dev.py test-compiled
