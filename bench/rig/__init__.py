"""What bench/peers.py is made of: brokers that start in one way, loads, floors, and what is written of them."""
