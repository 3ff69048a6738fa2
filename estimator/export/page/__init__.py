"""Living reports: an answer as one HTML file that opens by itself, prints well, asks no network, and recalculates."""
