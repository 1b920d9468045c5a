"""Testing an application against a real broker: the pytest plugin. See docs/testing-your-application.md."""
