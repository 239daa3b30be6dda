"""What builds and checks the project, on a machine of ours or on one that deploys."""
