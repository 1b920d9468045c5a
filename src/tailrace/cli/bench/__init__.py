"""`tailrace bench`: what one Kafka address takes, gives and answers. A client like the other commands.

Where a record is due is `schedule`, how long it took is `histogram`, what moves records is `produce`, `consume` and
`latency`, and `report` is what is printed. The broker's own cost is not seen from here: bench/peers.py measures it.
"""
