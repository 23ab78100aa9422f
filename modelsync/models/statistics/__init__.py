"""Statistics of a table: histograms of its columns, and how far two of them differ."""
