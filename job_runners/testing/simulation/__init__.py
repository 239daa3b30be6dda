"""A simulated hostile Lambda, for the fixture `hostile` and for tests/support/histories."""
