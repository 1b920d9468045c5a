"""What /metrics says of a broker; a module for each kind of thing. See docs/operations/monitoring.md."""
