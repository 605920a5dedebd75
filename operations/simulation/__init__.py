"""A seeded, simulated market: the same seed gives the same events, byte for byte."""
