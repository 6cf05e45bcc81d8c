"""What stands between a socket and the routes: who may ask, from where, and how much; and the end of the server."""
