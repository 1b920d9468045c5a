"""Log compaction: of each key the last record stays. See README.md here for the order of reading."""
