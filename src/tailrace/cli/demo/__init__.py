"""`tailrace demo`: a small web shop's events, live, through a broker in this process and real Kafka clients.

`shop` invents events, `traffic` moves them with librdkafka, `figures` counts them, `screen` draws, `command` runs it.
"""
