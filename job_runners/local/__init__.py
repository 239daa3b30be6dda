"""The local AWS: build it, start it, deploy the real template to it, use it, and stop it."""
