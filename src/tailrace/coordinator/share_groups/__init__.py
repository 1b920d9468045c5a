"""Share groups (KIP-932): members heartbeat, the coordinator spreads partitions over them, to several if need be."""
