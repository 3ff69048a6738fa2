"""From names to records and figures: the only reader of the data files."""
