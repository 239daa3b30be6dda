"""Each contact is texted once."""
