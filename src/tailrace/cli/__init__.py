"""The command line: `tailrace COMMAND`. One module a command; each is imported only when its command runs.

Commands other than `serve` are plain Kafka clients (librdkafka by way of confluent-kafka), so they work against any
Kafka address. Nothing here is imported by the broker.
"""
