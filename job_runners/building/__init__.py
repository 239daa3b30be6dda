"""Build, check and deploy the functions, with an app's own work in them."""
