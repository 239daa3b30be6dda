"""An in-memory DynamoDB, for tests, the fixture `hostile`, and the AWS that `run` emulates."""
