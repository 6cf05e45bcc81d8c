"""What travels over HTTP; one file per resource."""
