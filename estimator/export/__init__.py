"""Results as tables, JSON, CSV, Markdown and workbooks."""
