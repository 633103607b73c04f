"""What bulk writes are measured with: a project of its own, with its peers."""
