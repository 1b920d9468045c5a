#!/bin/sh
# Installs what is missing and runs the compatibility suite that needs a JVM, Node or Debian packages.
# Further arguments go to pytest. TAILRACE_COMPAT_BROKER=kafka runs the same tests against Apache Kafka itself.
set -eu
cd "$(dirname "$0")/.."
PYTHON=${PYTHON:-python3}
"$PYTHON" tools/compat_install.py
# What fails is run once more, three tests at most, and the first failure is told whole (docs/decisions/0025).
set -- --reruns 1 --max-suite-reruns 3 --rerun-show-tracebacks -r aR "$@"
# Workers even when it is one: a test that has to be ended takes its process with it, and the others still run.
if [ "${TAILRACE_COMPAT_WORKERS:-1}" = 1 ]; then
    exec "$PYTHON" -m pytest -n 1 tests/compat -m compat "$@"
fi
# What must not run at the same time is in one of them (tests/compat/conftest.py). Who loses a worker may hang then.
exec "$PYTHON" -m pytest -n "$TAILRACE_COMPAT_WORKERS" --dist loadgroup --no-loadscope-reorder tests/compat -m compat "$@"
