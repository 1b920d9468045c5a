"""tailrace.Broker and the pytest plugin, with real clients."""
