"""Local servers that speak the hosted providers' protocols and make drawn videos, to try it all without an account."""
