"""Record batches: what travels in Produce and Fetch and lies on disk. Bytes in, values out; no I/O, no clock."""
