"""The Kafka API server: connections, dispatch, one handler a request."""
