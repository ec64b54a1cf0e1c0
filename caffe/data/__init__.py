"""Reading images, lists and databases, and turning them into batches ahead of time."""
