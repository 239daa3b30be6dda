"""The messages that functions send each other, and how they are sent."""
