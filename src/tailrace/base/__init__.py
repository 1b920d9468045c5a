"""What everything stands on: types, errors, limits, clock, randomness, disk, config.

Imports the standard library only.
"""
