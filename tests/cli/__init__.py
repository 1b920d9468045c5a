"""Every command against a real broker process (TAILRACE_COMPAT_BROKER=kafka: against Apache Kafka)."""
