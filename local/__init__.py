"""The local AWS: build, start, deploy the real template, use it, stop."""
