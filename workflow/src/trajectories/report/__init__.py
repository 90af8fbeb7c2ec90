"""The report: one self-contained HTML file, put together from tables, figures' specifications and the recipe alone."""
