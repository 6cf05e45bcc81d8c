"""What stands between a socket and the routes: connections, limits and the end of the server."""
