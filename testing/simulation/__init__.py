"""A simulated Lambda that does its worst, and the checker that says what must not be."""
