"""What agents use: a client of `/video/generate` and `/video/extend`, tools for language models, an MCP server."""
