"""What stands between a connection and the routes: bodies, limits, access."""
