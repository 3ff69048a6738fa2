"""What is made, and what Sphinx alone reads, is no guide to run."""

collect_ignore = ["reference", "conf.py", "examples"]
