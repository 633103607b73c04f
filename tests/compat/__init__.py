"""What the users of the older packages know, and find again."""
