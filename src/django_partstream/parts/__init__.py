"""What a progressive view produces. No HTTP, no Channels."""
