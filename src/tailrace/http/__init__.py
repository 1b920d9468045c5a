"""The HTTP listener's protocol and pages' addresses; see README.md."""
