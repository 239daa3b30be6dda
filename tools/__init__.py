"""The tools that build, check and deploy the project."""
