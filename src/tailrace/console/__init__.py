"""The web console: a Kafka client that serves pages and a JSON API; see README.md."""
