"""What came out of a study: tables, plots, reports."""
