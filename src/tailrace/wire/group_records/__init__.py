"""Generated keys and values of the records in `__consumer_offsets`. `tools/generate_messages.py` writes them."""
