"""What travels over HTTP; one file a resource."""
