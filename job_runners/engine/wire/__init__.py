"""The messages that the Lambda functions send each other, and how they are sent."""
