#!/bin/sh
# Installs what is missing and runs the compatibility suite that needs a JVM, Node or Debian packages.
# Further arguments go to pytest. TAILRACE_COMPAT_BROKER=kafka runs the same tests against Apache Kafka itself.
set -eu
cd "$(dirname "$0")/.."
PYTHON=${PYTHON:-python3}
"$PYTHON" tools/compat_install.py
# TAILRACE_COMPAT_WORKERS (1) at a time; what must not run at the same time is in one of them (tests/compat/conftest.py).
# Workers even when it is one: a test that has to be ended takes its process with it, and the others still run.
exec "$PYTHON" -m pytest -n "${TAILRACE_COMPAT_WORKERS:-1}" --dist loadgroup --no-loadscope-reorder tests/compat -m compat "$@"
