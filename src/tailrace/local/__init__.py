"""A whole cluster on one host, for development and tests: broker processes, their metadata, the ways between them."""
