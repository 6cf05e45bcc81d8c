"""What stands between the socket and the routes: who may ask, from where, and how much."""
