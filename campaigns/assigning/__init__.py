"""A campaign's contacts are split evenly over its texters."""
