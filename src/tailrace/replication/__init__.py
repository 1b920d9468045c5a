"""Partitions and their roles: the leader's rules over one log, and who waits for its high watermark."""
