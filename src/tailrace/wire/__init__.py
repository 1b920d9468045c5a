"""Kafka's wire protocol: framing, primitive types and generated messages. Bytes in, values out; no I/O, no clock."""
