"""What is wrong with a cluster or a data directory, with cause and cure; see README.md."""
