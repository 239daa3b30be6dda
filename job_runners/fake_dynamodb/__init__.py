"""A DynamoDB in memory, for tests, the simulation and `hostile`."""
