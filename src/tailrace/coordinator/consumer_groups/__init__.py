"""Consumer groups of KIP-848: members heartbeat, the coordinator assigns. Their offsets are kept by `groups`."""
