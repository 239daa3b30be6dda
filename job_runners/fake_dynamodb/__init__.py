"""A DynamoDB in memory, for tests, for the fixture `hostile` and for the local AWS."""
