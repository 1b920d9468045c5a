#!/bin/sh
# Installs what is missing and runs the compatibility suite that needs a JVM, Node or Debian packages.
# Further arguments go to pytest. TAILRACE_COMPAT_BROKER=kafka runs the same tests against Apache Kafka itself.
set -eu
cd "$(dirname "$0")/.."
PYTHON=${PYTHON:-python3}
"$PYTHON" tools/compat_install.py
exec "$PYTHON" -m pytest tests/compat -m compat "$@"
