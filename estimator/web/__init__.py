"""The page and the API (extra `serve`): questions come as names and numbers, and are answered as the command does."""
