"""What an upsert and a start would do, told before they do it: differences, cache, cost; nothing is written."""
