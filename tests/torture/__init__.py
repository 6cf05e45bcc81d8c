"""Attacks on a whole server that must go on working: bounded in `make test`, long in `make torture`."""
