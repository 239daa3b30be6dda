"""Text each contact once."""
