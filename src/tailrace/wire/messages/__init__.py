"""Generated request and response messages, one module an API. `tools/generate_messages.py` writes them."""
