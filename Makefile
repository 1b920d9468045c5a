# The commands of dev.py under the names people try first.
.PHONY: serve test check compat

serve:
	python3 dev.py serve

test:
	python3 dev.py test

check:
	python3 dev.py check

compat:
	python3 dev.py compat
