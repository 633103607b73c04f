"""One file for each optional neighbour."""
