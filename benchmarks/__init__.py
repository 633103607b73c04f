"""Floors, peers and us, side by side: `python -m benchmarks`."""
