"""Images that clients send: looked at without decoding, and decoded in processes of their own."""
