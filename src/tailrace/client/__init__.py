"""Requests from this broker to another one: one connection a purpose, answers in order, no retry of its own."""
