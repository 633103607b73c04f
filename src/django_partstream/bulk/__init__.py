"""Many rows through a serializer into a table. No HTTP, no queue."""
