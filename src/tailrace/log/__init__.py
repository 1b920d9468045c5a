"""One partition's data on disk: segments, indexes, producer state, recovery, retention; and the collection of them."""
