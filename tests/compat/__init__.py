"""Suites that need a JVM, Node or Debian packages: run by tools/compat.sh, never by the ordinary test command."""
