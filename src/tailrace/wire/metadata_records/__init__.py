"""Generated records of `__cluster_metadata`, Kafka's own metadata log. `tools/generate_messages.py` writes them."""
